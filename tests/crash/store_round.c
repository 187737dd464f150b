#include "store_round.h"

#include "folder.h"
#include "verify.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void print_finding(void *context, const char *line)
{
    (void)context;
    fprintf(stderr, "finding: %s\n", line);
}

const struct model_commit *round_commit(const struct round *round, uint64_t index)
{
    for (unsigned i = round->durable; i <= round->begun; i++)
        if (round->model.commits[i].index == index)
            return &round->model.commits[i];
    return NULL;
}

static bool configuration_equals(const struct model_commit *commit, const struct meta *meta)
{
    uint8_t bytes[LIMIT_CONFIGURATION_BYTES_MAX];
    size_t length = model_configuration(commit->configuration_index, bytes);
    return meta->configuration_bytes == length && !memcmp(meta->configuration, bytes, length);
}

/* What the file says of itself is this commit in all of its parts. */
static bool check_meta(const struct round *round, const struct model_commit *commit,
                       const struct meta *meta)
{
    bool hash = commit && commit->keys == meta->keys &&
                !memcmp(commit->hash, meta->state_hash, sizeof(commit->hash));
    if (hash && configuration_equals(commit, meta))
        return true;
    fprintf(stderr, "holds index %" PRIu64 ", legal are commits of %" PRIu64 " to %" PRIu64 "%s\n",
            meta->applied_index, round->model.commits[round->durable].index,
            round->model.commits[round->begun].index,
            !commit ? ""
            : hash  ? ": another configuration"
                    : ": other keys and values");
    return false;
}

bool round_check_file(const struct round *round, struct meta *ret_meta)
{
    struct tree tree = {0};
    struct error error = {""};
    int code = pager_open(&tree.pager, TREE_FILE, true, ret_meta, &error);
    if (code == -ENOENT && round->durable == 0) {
        *ret_meta = (struct meta){0};
        return true; /* it was being made */
    }
    if (code) {
        fprintf(stderr, "does not open: %s\n", error.text);
        return false;
    }
    tree.root = ret_meta->root;
    tree.depth = ret_meta->depth;
    bool good = check_meta(round, round_commit(round, ret_meta->applied_index), ret_meta);
    if (verify_tree(&tree, ret_meta, print_finding, NULL, NULL))
        good = false;
    pager_close(tree.pager);
    return good;
}

bool round_check_fallback(const struct round *round, const struct meta *meta)
{
    struct round before = *round;
    struct meta found;
    struct error error = {""};
    struct pager *pager;
    uint8_t page[PAGE_BYTES];
    uint64_t offset = meta->transaction % PAGE_METAS * PAGE_BYTES;
    unsigned commit = (unsigned)(round_commit(round, meta->applied_index) - round->model.commits);
    if (commit <= round->base)
        return true; /* what the other meta page holds is a matter of the round before */
    bool may_refuse = round->begun > commit;
    int fd = open(TREE_FILE, O_RDWR | O_CLOEXEC);
    bool good = fd >= 0 && pread(fd, page, PAGE_BYTES, (off_t)offset) == PAGE_BYTES;
    uint8_t flipped = page[64] ^ 1;
    good = good && pwrite(fd, &flipped, 1, (off_t)offset + 64) == 1;
    int code = pager_open(&pager, TREE_FILE, true, &found, &error);
    if (!code)
        pager_close(pager);
    before.durable = before.begun = commit - 1;
    if (code && !(may_refuse && code == -EBADMSG)) {
        fprintf(stderr, "newest meta page damaged: does not open: %s\n", error.text);
        good = false;
    } else if (!code && !round_check_file(&before, &found)) {
        fprintf(stderr, "newest meta page damaged: the commit before is not whole\n");
        good = false;
    }
    good = pwrite(fd, &page[64], 1, (off_t)offset + 64) == 1 && good;
    (void)close(fd);
    return good;
}

bool round_check_content(const struct round *round, uint64_t index)
{
    struct store *store = NULL;
    struct error error = {""};
    unsigned long changes = folder_guard_begin();
    int code = store_open(&store, TREE_FILE, &error);
    bool good = !code && model_equals(&round->model, index, store);
    if (code)
        fprintf(stderr, "the store does not open: %s\n", error.text);
    store_close(store);
    changes = folder_guard_end();
    if (changes)
        fprintf(stderr, "opening the store changed files %lu times\n", changes);
    return good && !changes;
}
