#include "compact.h"

#include "view.h"

#include <errno.h>

#define SPARE_PAGES_MIN 256u /* a MiB is not worth a round */
#define ROUND_COMMITS 3u     /* until moved pages are free and the file is cut */
#define WAIT_COMMITS_MAX 4096u
#define STEP_PAGES_MAX 512u /* moved: a leaf may have many long runs */

/* A whole round that did not make the file shorter (a view keeps its end, or pages were made as
 * fast as they were moved) is not soon tried again. */
static bool compact_is_due(struct compact *compact, const struct pager *pager)
{
    const struct freemap *map = pager_freemap(pager);
    if (pager_build(pager) < compact->next_build)
        return false;
    bool fruitless = compact->pages_before && map->pages > compact->pages_before / 16 * 15;
    compact->pages_before = 0;
    if (!fruitless) {
        compact->wait_commits = ROUND_COMMITS;
        return true;
    }
    if (compact->wait_commits < WAIT_COMMITS_MAX)
        compact->wait_commits *= 4;
    compact->next_build = pager_build(pager) + compact->wait_commits;
    return false;
}

static bool compact_begin(struct compact *compact, struct pager *pager)
{
    const struct freemap *map = pager_freemap(pager);
    uint64_t used = freemap_used(map) + views_held_pages(pager);
    if (map->spare_count < used / COMPACT_SHARE + SPARE_PAGES_MIN ||
        !compact_is_due(compact, pager))
        return false;
    (void)pager_seal_transaction(pager); /* pages made just now may lie at the end too */
    compact->active = true;
    compact->below = used + used / 64 + SPARE_PAGES_MIN / 2; /* room to move within */
    compact->key_bytes = 0;
    compact->moved_pages = 0;
    compact->pages_before = map->pages;
    return true;
}

static void compact_end(struct compact *compact, const struct pager *pager, bool whole)
{
    compact->active = false;
    if (!whole)
        compact->pages_before = 0;
    compact->next_build = pager_build(pager) + compact->wait_commits;
}

void compact_retry(struct compact *compact)
{
    compact->pages_before = compact->next_build = 0;
}

int compact_step(struct compact *compact, struct tree *tree, unsigned leaves_max)
{
    if (!compact->active && !compact_begin(compact, tree->pager))
        return COMPACT_IDLE;
    pager_prefer_front(tree->pager);
    uint64_t moved_max = compact->moved_pages + STEP_PAGES_MAX;
    while (leaves_max-- > 0 && compact->moved_pages < moved_max) {
        struct node_bytes from = {compact->key, compact->key_bytes};
        int code = tree_move_down(tree, from, compact->below, &compact->moved_pages, compact->key,
                                  &compact->key_bytes);
        if (code) {
            compact_end(compact, tree->pager, code == TREE_END);
            return code < 0 ? code : COMPACT_IDLE;
        }
    }
    return 0;
}
