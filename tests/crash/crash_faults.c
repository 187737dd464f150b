/* The store where the disk or the memory fails: the n-th write, sync, resize, name change and
 * allocation, for every n, once and from then on. Owner: tests/crash.
 *
 *   crash_faults [--seed N] [--round N]
 *
 * The same run of entries and checkpoints each time. After the failure: the error is told and has a
 * text, reads go on where only space is missing, nothing touches a file again whose sync failed,
 * and every crash state of what was done opens to a legal commit. An allocation that fails ends the
 * process by abort (buffer.h), never by a bad access; then the files are as it left them. */
#include "buffer.h"
#include "disk.h"
#include "folder.h"
#include "program.h"
#include "replay.h"
#include "store_round.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECKPOINTS 6u

enum { MARK_BEGUN, MARK_DURABLE };

struct progress {
    unsigned durable, begun;
};

static struct program program = {.name = "crash_faults", .states = 1};
static struct random store_random;
static struct progress *progress; /* shared with the children that die */
static uint64_t faults_seen;

ssize_t getrandom(void *bytes, size_t length, unsigned flags)
{
    (void)flags;
    for (size_t i = 0; i < length; i++)
        ((uint8_t *)bytes)[i] = (uint8_t)(random_next(&store_random) >> 56);
    return (ssize_t)length;
}

/* ---- allocations that fail (linked with --wrap) ---- */

static unsigned long allocations, allocation_failing; /* from which one on; 0: none */

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);

static bool allocation_fails(void)
{
    return allocation_failing && ++allocations >= allocation_failing;
}

void *__wrap_malloc(size_t bytes)
{
    return allocation_fails() ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    return allocation_fails() ? NULL : __real_calloc(count, bytes);
}

void *__wrap_realloc(void *old, size_t bytes)
{
    return allocation_fails() ? NULL : __real_realloc(old, bytes);
}

/* ---- the run ---- */

/* What ends it: 0, or the error that was told. */
static int write_checkpoint(struct round *round, struct store *store, struct disk *disk)
{
    int code = store_checkpoint_write(store);
    for (unsigned tries = 0; code == -ENOSPC && tries < 3; tries++) {
        store_set_no_space(store, true);
        if (!model_equals(&round->model, store_applied_index(store), store))
            return -ENOTRECOVERABLE; /* reads go on while space is missing */
        code = store_checkpoint_write(store);
    }
    (void)disk;
    return code;
}

static int run_checkpoint(struct round *round, struct store *store, struct disk *disk)
{
    if (!store_checkpoint_begin(store))
        return 0;
    unsigned commit = model_note_commit(&round->model, store);
    progress->begun = commit;
    if (disk)
        disk_mark(disk, MARK_BEGUN, commit);
    int code = write_checkpoint(round, store, disk);
    if (code)
        return code;
    store_checkpoint_end(store);
    progress->durable = commit;
    if (disk)
        disk_mark(disk, MARK_DURABLE, commit);
    return 0;
}

static int run(struct round *round, struct disk *disk)
{
    struct store *store = NULL;
    struct error error = {""};
    int code = store_open(&store, TREE_FILE, &error);
    if (code)
        return error.text[0] ? code : -ENOTRECOVERABLE; /* an error without a line */
    for (unsigned i = 0; i < CHECKPOINTS && !code; i++) {
        for (unsigned entries = 1 + i * 7 % 30; entries > 0 && !code; entries--)
            code = model_apply_next(&round->model, store);
        if (!code)
            code = run_checkpoint(round, store, disk);
    }
    store_close(store);
    return code;
}

static void round_begin(struct round *round, uint64_t round_seed, struct random *random)
{
    *random = random_of(round_seed);
    *round = (struct round){.random = random};
    store_random = random_of(round_seed + 1);
    model_begin(&round->model, random);
    *progress = (struct progress){0};
}

/* ---- faults of the disk ---- */

static bool on_mark(void *context, uint64_t number, uint64_t value)
{
    struct round *round = context;
    if (number == MARK_BEGUN)
        round->begun = (unsigned)value;
    else
        round->durable = (unsigned)value;
    return true;
}

static bool check_state(void *context)
{
    struct round *round = context;
    struct meta meta;
    program.seen++;
    return round_check_file(round, &meta) &&
           (!meta.transaction || round_check_content(round, meta.applied_index));
}

static bool crashes_are_legal(struct round *round, const struct disk *disk)
{
    char folder[FOLDER_PATH_BYTES];
    struct replay_options options = {.block_bytes = PAGE_BYTES,
                                     .exhaustive_max = 4,
                                     .samples = 3,
                                     .random = round->random,
                                     .on_mark = on_mark,
                                     .check = check_state,
                                     .context = round};
    struct replay_result result = {0};
    folder_name(folder, "replay", 0);
    folder_make(folder);
    options.folder = folder;
    round->durable = round->begun = 0;
    replay_run(disk, &options, &result);
    folder_remove(folder);
    program.moments += result.points;
    return !result.stopped;
}

static bool fault_is_told(const struct disk_fault *fault, int code)
{
    bool passed_over = !fault->sticky && fault->code == -ENOSPC && fault->call != DISK_CALL_SYNC;
    if (code == -ENOTRECOVERABLE)
        return false;
    /* Of a failed resize nothing may be told: the file is not cut then, and stays as it is. */
    return code == fault->code || (code == 0 && (passed_over || fault->call == DISK_CALL_RESIZE)) ||
           (fault->call == DISK_CALL_SYNC && code == -EIO);
}

/* False if the run came to its end before the n-th call: *ret_hit. */
static bool disk_fault_try(uint64_t round_seed, const struct disk_fault *fault, bool *ret_hit)
{
    struct random random;
    struct round round;
    char live[FOLDER_PATH_BYTES], here[FOLDER_PATH_BYTES];
    round_begin(&round, round_seed, &random);
    folder_name(live, "live", 0);
    folder_make(live);
    folder_enter(live, here);
    struct disk *disk = disk_begin(fault);
    int code = run(&round, disk);
    disk_end(disk);
    *ret_hit = disk->failed > 0;
    bool good = *ret_hit ? fault_is_told(fault, code) : code == 0;
    if (!good)
        fprintf(stderr, "the run says %s\n", strerror(-code));
    if (disk->after_failed_sync) {
        fprintf(stderr, "a file was used %lu times after its sync failed\n",
                disk->after_failed_sync);
        good = false;
    }
    good = good && crashes_are_legal(&round, disk);
    disk_free(disk);
    folder_leave(here);
    folder_remove(live);
    model_free(&round.model);
    if (!good)
        fprintf(stderr, "  call %d, the %lu-th%s, %s%s\n", (int)fault->call, fault->nth,
                fault->sticky ? " and all later" : "", strerror(-fault->code),
                fault->half ? ", half written" : "");
    faults_seen++;
    return good;
}

static bool disk_faults(uint64_t round_seed)
{
    static const int codes[] = {-EIO, -ENOSPC};
    for (unsigned kind = 0; kind < DISK_CALLS * 8u; kind++) {
        struct disk_fault fault = {.call = (enum disk_call)(kind / 8),
                                   .sticky = kind & 1,
                                   .code = codes[kind >> 1 & 1],
                                   .half = kind >> 2 & 1};
        bool hit = !(fault.half && fault.call != DISK_CALL_WRITE);
        for (fault.nth = 1; hit; fault.nth++)
            if (!disk_fault_try(round_seed, &fault, &hit))
                return false;
    }
    return true;
}

/* ---- faults of the memory ---- */

/* A child runs into it; what it leaves must be legal. */
static bool allocation_fault_try(struct round *whole, uint64_t round_seed, unsigned long nth,
                                 bool *ret_hit)
{
    char live[FOLDER_PATH_BYTES], here[FOLDER_PATH_BYTES];
    struct meta meta = {0};
    int status = 0;
    folder_name(live, "live", 0);
    folder_make(live);
    folder_enter(live, here);
    *progress = (struct progress){0};
    pid_t child = fork();
    if (child == 0) {
        struct random random;
        struct round round;
        (void)signal(SIGABRT, SIG_DFL);
        round_begin(&round, round_seed, &random);
        allocation_failing = nth;
        int code = run(&round, NULL);
        _exit(code ? 1 : 0);
    }
    bool good = child > 0 && waitpid(child, &status, 0) == child;
    *ret_hit = !(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    if (WIFSIGNALED(status) && WTERMSIG(status) != SIGABRT) {
        fprintf(stderr, "ended by signal %d\n", WTERMSIG(status));
        good = false;
    }
    whole->durable = progress->durable;
    whole->begun = progress->begun;
    good = good && round_check_file(whole, &meta) &&
           (!meta.transaction || round_check_content(whole, meta.applied_index));
    if (!good)
        fprintf(stderr, "  allocation %lu fails, and all later\n", nth);
    folder_leave(here);
    folder_remove(live);
    faults_seen++;
    return good;
}

/* Every one at the beginning, where opening is, then with growing steps. */
static bool allocation_faults(uint64_t round_seed)
{
    struct random random;
    struct round whole;
    char live[FOLDER_PATH_BYTES], here[FOLDER_PATH_BYTES];
    round_begin(&whole, round_seed, &random);
    folder_name(live, "live", 0);
    folder_make(live);
    folder_enter(live, here);
    bool good = run(&whole, NULL) == 0;
    folder_leave(here);
    folder_remove(live);
    bool hit = good;
    for (unsigned long nth = 1; good && hit; nth += 1 + nth / 200)
        good = allocation_fault_try(&whole, round_seed, nth, &hit);
    model_free(&whole.model);
    return good;
}

static bool round_new(struct random *random)
{
    uint64_t round_seed = random_next(random);
    return disk_faults(round_seed) && allocation_faults(round_seed);
}

int main(int argc, char **argv)
{
    program_arguments(&program, argc, argv);
    progress =
        mmap(NULL, sizeof(*progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (progress == MAP_FAILED)
        return 1;
    int code = program_run(&program, round_new);
    printf("%" PRIu64 " faults\n", faults_seen);
    return code;
}
