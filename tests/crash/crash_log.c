/* raftd's log and hard state over power loss: every acknowledged record is there, nothing appears
 * that was not written, and term and vote never go back. Owner: tests/crash.
 *
 *   crash_log [--seed N|random] [--states N] [--round N]
 *
 * Rounds of appends, truncations, cuts and hard states, over segments of 24 KiB, are recorded and
 * replayed sector by sector. Each crash state is opened by the real code, which may repair it; some
 * of these openings are recorded, run on, and crash again, three deep. */
#define LOG_MUTANT_OWN
#include "log_mutant.h"

#include "buffer.h"
#include "disk.h"
#include "folder.h"
#include "hard_state.h"
#include "log.h"
#include "program.h"
#include "replay.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 3u
#define LEGALS_MAX 4096u
#define LINES_MAX 64u
#define DATA_BYTES_MAX (40u << 10)

/* The terms of entries 1, 2, ... A truncation begins another line. */
struct line {
    uint64_t *terms;
    uint64_t count, capacity;
};

/* What may be found from a moment on: the first `least` to `most` entries of a line, and a hard
 * state of number `hard_least` to `hard_most`. */
struct legal {
    unsigned line;
    uint64_t least, most;
    uint64_t hard_least, hard_most;
};

struct hard {
    uint64_t cut_index, cut_term;
};

struct round {
    struct line lines[LINES_MAX];
    unsigned lines_count;
    struct legal legals[LEGALS_MAX];
    unsigned legals_count;
    struct hard hards[LEGALS_MAX]; /* by number, which is the term too; 0: no hard state */
    struct legal now;              /* as the run, then the replay, goes on */
    struct random *random;
    unsigned depth;
    uint64_t durable; /* what the log has acknowledged */
    uint64_t term;
    bool failed;
};

static struct program program = {.name = "crash_log", .states = 20000};

/* ---- entries by index and term ---- */

static size_t data_make(uint8_t *into, uint64_t index, uint64_t term)
{
    struct random random = random_of(index * 7919 + term);
    uint32_t below = random_below(&random, 40) ? 200 : DATA_BYTES_MAX;
    size_t bytes = random_below(&random, below);
    for (size_t i = 0; i < bytes; i++)
        into[i] = (uint8_t)(index * 13 + term * 5 + i);
    return bytes;
}

static void line_add(struct line *line, uint64_t term)
{
    if (line->count == line->capacity) {
        line->capacity = line->capacity ? line->capacity * 2 : 256;
        line->terms = realloc(line->terms, line->capacity * sizeof(*line->terms));
        if (!line->terms)
            abort();
    }
    line->terms[line->count++] = term;
}

static struct line *line_now(struct round *round)
{
    return &round->lines[round->now.line];
}

/* A new line: the first `count` entries of the present one. */
static void line_fork(struct round *round, uint64_t count)
{
    struct line *from = line_now(round);
    if (round->lines_count == LINES_MAX)
        abort();
    round->now.line = round->lines_count++;
    for (uint64_t i = 0; i < count; i++)
        line_add(line_now(round), from->terms[i]);
}

static void legal_note(struct round *round, struct disk *disk)
{
    if (round->legals_count == LEGALS_MAX)
        abort();
    round->legals[round->legals_count] = round->now;
    disk_mark(disk, 0, round->legals_count++);
}

/* ---- the log under test ---- */

static struct loop *loop;

static void on_durable(void *context, uint64_t index, uint64_t term)
{
    struct round *round = context;
    (void)term;
    round->durable = index;
}

static void on_failed(void *context, int code)
{
    struct round *round = context;
    fprintf(stderr, "the log failed: %s\n", strerror(-code));
    round->failed = true;
}

/* Reads the hard state, then opens the log behind its cut, as raftd does. */
static bool open_all(struct round *round, struct log **ret_log, uint64_t *ret_hard)
{
    struct hard_state state = {0};
    struct error error = {""};
    uint64_t cut_bytes;
    int code = hard_state_load(&state, "node1", &error);
    *ret_hard = code ? 0 : state.raft.term;
    if (code == -ENOENT)
        code = 0;
    struct log_options options = {.loop = loop,
                                  .cluster_id = "crash",
                                  .previous_index = state.cut_index,
                                  .previous_term = state.cut_term,
                                  .on_durable = on_durable,
                                  .on_failed = on_failed,
                                  .context = round};
    if (!code)
        code = log_open(ret_log, &options, &cut_bytes, &error);
    if (code)
        fprintf(stderr, "does not open: %s\n", error.text);
    return !code;
}

struct reading {
    const struct line *line;
    uint64_t next;
};

static bool check_record(void *context, const struct record *record)
{
    static uint8_t data[DATA_BYTES_MAX];
    struct reading *reading = context;
    uint64_t term = reading->line->terms[reading->next - 1];
    size_t bytes = data_make(data, reading->next, term);
    bool good = record->index == reading->next && record->term == term &&
                record->data_bytes == bytes && !memcmp(record->data, data, bytes);
    if (!good)
        fprintf(stderr,
                "entry %" PRIu64 " of term %" PRIu64 " is entry %" PRIu64 " of term %" PRIu64
                " or holds other bytes\n",
                reading->next, term, record->index, record->term);
    reading->next += good;
    return good;
}

/* What the opened log and the hard state hold is legal. */
static bool check_all(struct round *round, struct log *log, uint64_t hard)
{
    const struct legal *legal = &round->now;
    uint64_t first = log_first_index(log), last = log_last_index(log);
    struct reading reading = {.line = line_now(round), .next = first};
    if (hard < legal->hard_least || hard > legal->hard_most) {
        fprintf(stderr, "hard state %" PRIu64 ", legal are %" PRIu64 " to %" PRIu64 "\n", hard,
                legal->hard_least, legal->hard_most);
        return false;
    }
    if (last < legal->least || last > legal->most || first > round->hards[hard].cut_index + 1) {
        fprintf(stderr,
                "entries %" PRIu64 " to %" PRIu64 ", legal is an end of %" PRIu64 " to %" PRIu64
                "\n",
                first, last, legal->least, legal->most);
        return false;
    }
    int code = last >= first ? log_read(log, first, last, check_record, &reading) : 0;
    if (code)
        fprintf(stderr, "cannot read: %s\n", strerror(-code));
    return !code && reading.next == last + 1;
}

/* ---- a run ---- */

static void wait_durable(struct round *round, struct log *log)
{
    log_flush(log);
    while (!round->failed && round->durable < log_last_index(log)) {
        loop_turn(loop, 1000);
        log_flush(log);
    }
}

static void run_append(struct round *round, struct log *log, struct disk *disk)
{
    static uint8_t data[DATA_BYTES_MAX];
    unsigned count = 1 + random_below(round->random, 12);
    round->term += random_below(round->random, 8) == 0;
    for (unsigned i = 0; i < count; i++) {
        line_add(line_now(round), round->term);
        log_append(log, round->term, ENTRY_COMMAND, data,
                   data_make(data, log_last_index(log) + 1, round->term));
    }
    round->now.most = log_last_index(log);
    legal_note(round, disk);
    wait_durable(round, log);
    round->now.least = round->durable;
    legal_note(round, disk);
}

static bool run_save(struct round *round, struct disk *disk, struct hard hard)
{
    uint64_t number = round->now.hard_most + 1;
    struct hard_state state = {.identity = {.number = 1, .node_id = "node1"},
                               .raft = {.term = number, .vote = number % 3},
                               .cut_index = hard.cut_index,
                               .cut_term = hard.cut_term};
    round->hards[number] = hard;
    round->now.hard_most = number;
    legal_note(round, disk);
    int code = hard_state_save(&state);
    round->now.hard_least = number;
    legal_note(round, disk);
    return !code;
}

static bool run_cut(struct round *round, struct log *log, struct disk *disk)
{
    uint64_t term = 0, keep = random_below(round->random, 60);
    uint64_t place = log_cut_place(log, round->durable > keep ? round->durable - keep : 0, &term);
    log_forget(log, round->durable);
    if (!place || place <= round->hards[round->now.hard_most].cut_index)
        return true;
    return run_save(round, disk, (struct hard){place, term}) && !log_cut(log, place);
}

static bool run_truncate(struct round *round, struct log *log, struct disk *disk)
{
    uint64_t first = log_first_index(log), last = log_last_index(log);
    uint64_t cut = round->hards[round->now.hard_most].cut_index;
    uint64_t floor = first > cut + 1 ? first : cut + 1;
    if (last < floor || round->lines_count >= LINES_MAX - 1)
        return true;
    uint32_t reach = random_below(round->random, 4) ? 10 : 200;
    uint64_t back = random_below(round->random, reach);
    uint64_t index = last - floor < back ? floor : last - back;
    uint64_t before = index > 1 ? line_now(round)->terms[index - 2] : 0;
    round->now.least = index - 1;
    legal_note(round, disk);
    if (log_truncate(log, index, before))
        return false;
    line_fork(round, index - 1);
    round->term++;
    round->durable = round->now.most = index - 1;
    legal_note(round, disk);
    return true;
}

static bool run_step(struct round *round, struct log *log, struct disk *disk)
{
    switch (random_below(round->random, 12)) {
    case 0:
    case 1:
        return run_save(round, disk, round->hards[round->now.hard_most]);
    case 2:
        return run_cut(round, log, disk);
    case 3:
        return run_truncate(round, log, disk);
    default:
        run_append(round, log, disk);
        return !round->failed;
    }
}

/* ---- replaying ---- */

static bool on_mark(void *context, uint64_t number, uint64_t value)
{
    struct round *round = context;
    (void)number;
    round->now = round->legals[value];
    return true;
}

static bool round_check(void *context);

static bool replay(struct round *round, const struct disk *disk)
{
    char folder[FOLDER_PATH_BYTES];
    struct replay_options options = {.block_bytes = REPLAY_SECTOR_BYTES,
                                     .exhaustive_max = round->depth ? 4 : 8,
                                     .samples = round->depth ? 2 : 6,
                                     .random = round->random,
                                     .on_mark = on_mark,
                                     .check = round_check,
                                     .context = round};
    struct replay_result result = {0};
    folder_name(folder, "replay", round->depth);
    folder_make(folder);
    options.folder = folder;
    replay_run(disk, &options, &result);
    folder_remove(folder);
    program.moments += result.points;
    return !result.stopped;
}

static void round_free(struct round *round)
{
    for (unsigned i = 0; i < round->lines_count; i++)
        free(round->lines[i].terms);
    free(round);
}

/* In the working directory: opens what is there, checks it against what `round` says is legal, and
 * runs on for some steps. Then crashes of all that. */
static bool run_and_crash(struct round *round, unsigned steps)
{
    struct disk *disk = disk_begin(NULL);
    struct log *log = NULL;
    uint64_t hard = 0;
    legal_note(round, disk);
    bool good = open_all(round, &log, &hard);
    if (good) {
        good = check_all(round, log, hard);
        round->now.least = round->now.most = round->durable = log_last_index(log);
        round->now.hard_least = round->now.hard_most = hard;
        line_fork(round, round->durable);
        round->term = (round->durable ? line_now(round)->terms[round->durable - 1] : 0) + 1;
        legal_note(round, disk);
    }
    for (unsigned i = 0; i < steps && good; i++)
        good = run_step(round, log, disk);
    log_close(log);
    disk_end(disk);
    if (good) {
        round->now = round->legals[0];
        good = replay(round, disk);
    }
    disk_free(disk);
    return good;
}

static struct round *round_branch(const struct round *round)
{
    struct round *branch = memory_new_zeroed(1, sizeof(*branch));
    const struct line *line = &round->lines[round->now.line];
    branch->random = round->random;
    branch->depth = round->depth + 1;
    branch->now = round->now;
    branch->now.line = 0;
    branch->lines_count = 1;
    for (uint64_t i = 0; i < line->count; i++)
        line_add(&branch->lines[0], line->terms[i]);
    memcpy(branch->hards, round->hards, (round->now.hard_most + 1) * sizeof(*round->hards));
    return branch;
}

/* The state is copied, since opening it may repair it. */
static bool round_check(void *context)
{
    struct round *round = context;
    char live[FOLDER_PATH_BYTES], here[FOLDER_PATH_BYTES];
    program.seen++;
    bool deeper =
        round->depth < DEPTH_MAX - 1 && random_below(round->random, round->depth ? 40 : 150) == 0;
    folder_name(live, "live", round->depth + 1);
    folder_copy_here(live);
    folder_enter(live, here);
    bool good;
    if (deeper) {
        struct round *branch = round_branch(round);
        good = run_and_crash(branch, 1 + random_below(round->random, 4));
        round_free(branch);
        program.again++;
    } else {
        struct log *log = NULL;
        uint64_t hard;
        good = open_all(round, &log, &hard) && check_all(round, log, hard);
        log_close(log);
    }
    folder_leave(here);
    folder_remove(live);
    if (!good && deeper)
        fprintf(stderr, "  that was after crash %u\n", round->depth + 1);
    return good;
}

static bool round_new(struct random *random)
{
    struct round *round = memory_new_zeroed(1, sizeof(*round));
    char live[FOLDER_PATH_BYTES], here[FOLDER_PATH_BYTES];
    round->random = random;
    round->lines_count = 1;
    folder_name(live, "live", 0);
    folder_make(live);
    folder_enter(live, here);
    bool good = run_and_crash(round, 20 + random_below(random, 100));
    folder_leave(here);
    folder_remove(live);
    round_free(round);
    return good;
}

int main(int argc, char **argv)
{
    program_arguments(&program, argc, argv);
    log_mutant_point = program.mutant;
    if (loop_new(&loop))
        return 1;
    int code = program_run(&program, round_new);
    loop_free(loop);
    return code;
}
