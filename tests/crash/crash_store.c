/* The store over power loss: every crash state of a random run opens, is whole, and holds the last
 * acknowledged commit or the one in flight. Owner: tests/crash.
 *
 *   crash_store [--seed N|random] [--states N] [--round N] [--tear-again 1]
 *
 * Rounds of a random run of put, delete, overwrite, overflow values, configurations, checkpoints
 * and reopens are recorded (disk.h) and replayed (replay.h) until enough states were seen. Some of
 * the states are run on in a journal of their own and crash again, three deep. The seed is printed
 * first; with the round that failed, which is printed last, it replays the failure. */
#include "buffer.h"
#include "disk.h"
#include "folder.h"
#include "model.h"
#include "program.h"
#include "replay.h"
#include "verify.h"
#ifdef CRASH_MUTANTS
#define MUTANT_OWN
#include "mutant.h"
#endif

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define TREE_FILE "conure.db"
#define DEPTH_MAX 3u

enum { MARK_BEGUN, MARK_DURABLE };

struct round {
    struct model model;
    unsigned exhaustive_max; /* choices of which every combination is looked at */
    unsigned depth;          /* crashes before this one */
    unsigned base;           /* the commit that was found when it began */
    unsigned durable, begun; /* commits, as the replay goes on */
    struct random *random;
};

static struct program program = {.name = "crash_store", .states = 20000};
static struct random store_random;

/* The store's own random numbers (store id, transactions stepped over) come from the seed too. */
ssize_t getrandom(void *bytes, size_t length, unsigned flags)
{
    (void)flags;
    for (size_t i = 0; i < length; i++)
        ((uint8_t *)bytes)[i] = (uint8_t)(random_next(&store_random) >> 56);
    return (ssize_t)length;
}

/* ---- checking one crash state ---- */

static void print_finding(void *context, const char *line)
{
    (void)context;
    fprintf(stderr, "finding: %s\n", line);
}

static const struct model_commit *legal_commit(const struct round *round, uint64_t index)
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

/* The file opens to a legal commit, and all of its tree agrees. */
static bool check_file(const struct round *round, struct meta *ret_meta)
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
    bool good = check_meta(round, legal_commit(round, ret_meta->applied_index), ret_meta);
    if (verify_tree(&tree, ret_meta, print_finding, NULL, NULL))
        good = false;
    pager_close(tree.pager);
    return good;
}

/* The newest meta page goes bad: then the file opens to the commit before, as a whole, or, while
 * the other meta page is being written or was lost in the last crash, with a clear refusal. */
static bool check_fallback(const struct round *round, const struct meta *meta)
{
    struct round before = *round;
    struct meta found;
    struct error error = {""};
    struct pager *pager;
    uint8_t page[PAGE_BYTES];
    uint64_t offset = meta->transaction % PAGE_METAS * PAGE_BYTES;
    unsigned commit = (unsigned)(legal_commit(round, meta->applied_index) - round->model.commits);
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
    } else if (!code && !check_file(&before, &found)) {
        fprintf(stderr, "newest meta page damaged: the commit before is not whole\n");
        good = false;
    }
    good = pwrite(fd, &page[64], 1, (off_t)offset + 64) == 1 && good;
    (void)close(fd);
    return good;
}

/* Record for record, through the store. Opening must not have changed the file. */
static bool check_content(const struct round *round, uint64_t index)
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

static bool round_run(struct round *round, unsigned checkpoints);

/* The state is run on, recorded, and crashes again. */
static bool check_deeper(const struct round *round, uint64_t index)
{
    struct round next = {.depth = round->depth + 1, .random = round->random};
    char live[FOLDER_PATH_BYTES], here[FOLDER_PATH_BYTES];
    const struct model_commit *commit = legal_commit(round, index);
    model_branch(&round->model, (unsigned)(commit - round->model.commits), &next.model);
    folder_name(live, "live", next.depth);
    folder_copy_here(live);
    folder_enter(live, here);
    bool good = round_run(&next, 1 + random_below(round->random, 3));
    folder_leave(here);
    folder_remove(live);
    model_free(&next.model);
    program.again++;
    if (!good)
        fprintf(stderr, "  that was after crash %u\n", round->depth + 1);
    return good;
}

static bool round_check(void *context)
{
    struct round *round = context;
    struct meta meta;
    program.seen++;
    if (!check_file(round, &meta))
        return false;
    if (meta.transaction && random_below(round->random, 8) == 0 && !check_fallback(round, &meta))
        return false;
    if (access(TREE_FILE, F_OK) == 0 && random_below(round->random, 16) == 0 &&
        !check_content(round, meta.applied_index))
        return false;
    unsigned rarity = round->depth == 0 ? 512 : 64;
    if (round->depth < DEPTH_MAX - 1 && random_below(round->random, rarity) == 0)
        return check_deeper(round, meta.applied_index);
    return true;
}

static bool round_on_mark(void *context, uint64_t number, uint64_t value)
{
    struct round *round = context;
    if (number == MARK_BEGUN)
        round->begun = (unsigned)value;
    else
        round->durable = (unsigned)value;
    return number == MARK_DURABLE;
}

/* ---- a recorded run ---- */

static struct store *must_open(struct round *round)
{
    struct store *store = NULL;
    struct error error = {""};
    if (store_open(&store, TREE_FILE, &error)) {
        fprintf(stderr, "cannot open: %s\n", error.text);
        return NULL;
    }
    if (!model_equals(&round->model, store_applied_index(store), store)) {
        store_close(store);
        return NULL;
    }
    return store;
}

static bool apply_some(struct round *round, struct store *store)
{
    unsigned count = 1 + random_below(round->random, random_below(round->random, 4) ? 4 : 40);
    for (unsigned i = 0; i < count; i++)
        if (model_apply_next(&round->model, store)) {
            fprintf(stderr, "cannot apply: %s\n", store_damage(store));
            return false;
        }
    return true;
}

/* Entries may come while a checkpoint is written; they belong to the next. */
static bool checkpoint(struct round *round, struct store *store, struct disk *disk)
{
    if (!store_checkpoint_begin(store))
        return true;
    unsigned commit = model_note_commit(&round->model, store);
    if (random_below(round->random, 3) == 0 && !apply_some(round, store))
        return false;
    disk_mark(disk, MARK_BEGUN, commit);
    int code = store_checkpoint_write(store);
    if (code) {
        fprintf(stderr, "cannot write: %s\n", strerror(-code));
        return false;
    }
    store_checkpoint_end(store);
    disk_mark(disk, MARK_DURABLE, commit);
    return true;
}

static bool round_record(struct round *round, unsigned checkpoints, struct disk *disk)
{
    struct store *store = must_open(round);
    bool good = store;
    for (unsigned i = 0; i < checkpoints && good; i++) {
        good = apply_some(round, store) && checkpoint(round, store, disk);
        if (good && random_below(round->random, 24) == 0) {
            store_close(store);
            model_roll_back(&round->model);
            store = must_open(round);
            good = store;
        }
    }
    store_close(store);
    return good;
}

/* In the working directory, from what is there. */
static bool round_run(struct round *round, unsigned checkpoints)
{
    char folder[FOLDER_PATH_BYTES];
    round->base = round->model.commits_count - 1;
    struct disk *disk = disk_begin(NULL);
    bool good = round_record(round, checkpoints, disk);
    disk_end(disk);
    folder_name(folder, "replay", round->depth);
    folder_make(folder);
    struct replay_options options = {.folder = folder,
                                     .block_bytes = PAGE_BYTES,
                                     .exhaustive_max = round->depth ? 6 : round->exhaustive_max,
                                     .samples = round->depth ? 4 : 24,
                                     .tear = round->depth == 0 || program.tear_again,
                                     .random = round->random,
                                     .on_mark = round_on_mark,
                                     .check = round_check,
                                     .context = round};
    struct replay_result result = {0};
    round->durable = round->begun = round->base;
    if (good)
        replay_run(disk, &options, &result);
    folder_remove(folder);
    disk_free(disk);
    program.moments += result.points;
    return good && !result.stopped;
}

static bool round_new(struct random *random)
{
    struct round round = {.random = random};
    char live[FOLDER_PATH_BYTES], here[FOLDER_PATH_BYTES];
    store_random = random_of(random_next(random));
    round.exhaustive_max = program.round % 4 ? 8 : 12; /* 12 are 4096 states at each moment */
    model_begin(&round.model, random);
    folder_name(live, "live", 0);
    folder_make(live);
    folder_enter(live, here);
    bool good = round_run(&round, 10 + random_below(random, 60));
    folder_leave(here);
    folder_remove(live);
    model_free(&round.model);
    return good;
}

int main(int argc, char **argv)
{
    program_arguments(&program, argc, argv);
#ifdef CRASH_MUTANTS
    if (program.mutant && !mutant_choose(program.mutant))
        return fprintf(stderr, "crash_store: no mutant %s\n", program.mutant), 2;
#else
    if (program.mutant)
        return fprintf(stderr, "crash_store: no mutants in this build\n"), 2;
#endif
    return program_run(&program, round_new);
}
