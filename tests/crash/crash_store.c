/* The store over power loss: every crash state of a random run opens, is whole, and holds the last
 * acknowledged commit or the one in flight. Owner: tests/crash.
 *
 *   crash_store [--seed N|random] [--states N] [--round N]
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
#include "store_round.h"
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

#define DEPTH_MAX 3u

enum { MARK_BEGUN, MARK_DURABLE };

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

static bool round_run(struct round *round, unsigned checkpoints);

/* The state is run on, recorded, and crashes again. */
static bool check_deeper(const struct round *round, uint64_t index)
{
    struct round next = {.depth = round->depth + 1, .random = round->random};
    char live[FOLDER_PATH_BYTES], here[FOLDER_PATH_BYTES];
    const struct model_commit *commit = round_commit(round, index);
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
    if (!round_check_file(round, &meta))
        return false;
    if (meta.transaction && random_below(round->random, 8) == 0 &&
        !round_check_fallback(round, &meta))
        return false;
    if (access(TREE_FILE, F_OK) == 0 && random_below(round->random, 16) == 0 &&
        !round_check_content(round, meta.applied_index))
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
    uint32_t below = round->model.wave ? 80 : random_below(round->random, 4) ? 4 : 40;
    unsigned count = 1 + random_below(round->random, below);
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
                                     .samples = round->depth        ? 4
                                                : round->model.wave ? 6
                                                                    : 24,
                                     .tear = true,
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
