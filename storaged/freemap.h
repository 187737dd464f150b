/* Which pages of the file are in use, and when a freed page may be written again. Owner: storaged.
 *
 * Commits are counted. A page freed while commit B is being built is still reachable from the metas
 * of B-1 and perhaps B-2. Once B+1 is on disk the two metas there are B and B+1, and neither
 * reaches it: from then on it is reusable. A page that was never on any meta is reusable at once. A
 * page that a read view reaches is neither (view.h) before the view is closed.
 *
 * Two bitmaps over the pages: `unused` (not reachable from the tree being built: this is what a
 * commit writes) and `reusable` (may be allocated), and the runs waiting to become reusable, in the
 * order of their commits.
 *
 * The whole bitmap goes out with each commit: 32 KiB for a file of 1 GiB, where a commit writes 64
 * MiB. The file is cut where its end is reusable (freemap_trim); pages that stand in the way are
 * moved down by compact.h. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct freemap_pending {
    uint64_t number;
    uint64_t build;
    uint32_t pages;
};

struct freemap {
    uint8_t *unused, *reusable;
    uint64_t pages;          /* bits in use: the pages of the file */
    uint64_t pages_capacity; /* bits allocated */
    uint64_t unused_count, reusable_count;
    uint64_t reusable_low;   /* fewest reusable since the last commit */
    uint64_t spare_count;    /* the same of the commit before: so many lay free all through it */
    uint64_t hint, run_hint; /* where the next search for one page, for several, begins */
    struct freemap_pending *pending;
    size_t pending_first, pending_count,
        pending_capacity;     /* those before the first are done with */
    uint64_t committed_build; /* what was freed before it may become reusable */
};

/* Pages that the tree being built reaches. */
static inline uint64_t freemap_used(const struct freemap *map)
{
    return map->pages - map->unused_count;
}

void freemap_free(struct freemap *map);
/* The file has `pages` pages now (not fewer than before); new ones are in use until said
 * otherwise. */
void freemap_grow(struct freemap *map, uint64_t pages);

/* The next searches begin at the front of the file. */
void freemap_prefer_front(struct freemap *map);
/* A run of `pages` reusable pages, marked in use, or 0 if there is none. */
uint64_t freemap_take(struct freemap *map, uint32_t pages);
/* How many pages can be taken as runs of `pages`; not counted further than `enough`. */
uint64_t freemap_count_in_runs(const struct freemap *map, uint32_t pages, uint64_t enough);
/* The run is not reachable any more. What becomes of it, one of the next two says. */
void freemap_leave(struct freemap *map, uint64_t number, uint32_t pages);
void freemap_make_reusable(struct freemap *map, uint64_t number, uint32_t pages);
/* Freed while commit `build` is being built; builds never descend from call to call. */
void freemap_wait(struct freemap *map, uint64_t number, uint32_t pages, uint64_t build);
/* Commit `build` is on disk: what it allows, freemap_release_some does. */
void freemap_on_commit(struct freemap *map, uint64_t build);
/* Makes some `pages` of what waited for that commit reusable: one commit may free half the file.
 * True if none is left; to be reached before the next commit. */
bool freemap_release_some(struct freemap *map, size_t pages);
/* Ends the file behind the last page that is not reusable. */
void freemap_trim(struct freemap *map);

/* At open: unused = `newest`; reusable = those also unused in `previous` (NULL: there is no other
 * meta); the rest wait for commit 1. Both bitmaps have `bytes` bytes or are NULL. */
void freemap_load(struct freemap *map, uint64_t pages, const uint8_t *newest, size_t newest_bytes,
                  const uint8_t *previous, size_t previous_bytes);

static inline size_t freemap_bytes(uint64_t pages)
{
    return (size_t)((pages + 7) / 8);
}

static inline bool freemap_is_unused(const struct freemap *map, uint64_t number)
{
    return map->unused[number / 8] >> (number % 8) & 1;
}
