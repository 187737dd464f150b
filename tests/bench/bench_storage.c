/* storaged's store and LMDB at the same work, side by side:
 *     bench_storage [--records N] [--rounds N] [--json] [--folder DIR]
 * Each round runs every phase on both, in turns and in a process of their
 * own; the table has medians over the rounds and the ratio conure/lmdb (above 1: conure is faster).
 */
#include "engine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BATCH 1000u
#define DURABLE_RECORDS_MAX                                                                        \
    100000u /* a sync for each thousand: more would only measure the disk                          \
             */
#define ROUNDS_MAX 99u

enum phase {
    PUT,
    GET,
    SCAN,
    PUT_AGAIN,
    PUT_SYNCED,
    PUT_DURABLE,
    DELETE,
    FILE_BYTES,
    PEAK_MIB,
    PHASES
};

static const struct {
    const char *name, *unit;
    bool less_is_better;
} phases[PHASES] = {
    [PUT] = {"random put, batches of 1,000", "records/s", false},
    [GET] = {"random get", "records/s", false},
    [SCAN] = {"ordered scan", "records/s", false},
    [PUT_AGAIN] = {"random overwrite, batches of 1,000", "records/s", false},
    [PUT_SYNCED] = {"the same, LMDB synced every 10,000", "records/s", false},
    [PUT_DURABLE] = {"random put, each batch durable", "records/s", false},
    [DELETE] = {"random delete, batches of 1,000", "records/s", false},
    [FILE_BYTES] = {"file, after the puts", "bytes/record", true},
    [PEAK_MIB] = {"peak memory (map included)", "MiB", true},
};

struct options {
    size_t records;
    unsigned rounds;
    bool json;
    const char *folder;
};

uint64_t bench_sum;

void bench_fail(const char *what, int code)
{
    fprintf(stderr, "bench_storage: %s: %d\n", what, code);
    exit(1);
}

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* Random bytes, the same in every run; in no order. */
static void make_keys(uint8_t (*keys)[BENCH_KEY_BYTES], size_t count, uint64_t seed)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t words[2] = {mix(seed + i * 2), mix(seed + i * 2 + 1)};
        memcpy(keys[i], words, BENCH_KEY_BYTES);
    }
}

static void shuffle(uint8_t (*keys)[BENCH_KEY_BYTES], size_t count, uint64_t seed)
{
    for (size_t i = count - 1; i > 0; i--) {
        size_t j = mix(seed + i) % (i + 1);
        uint8_t key[BENCH_KEY_BYTES];
        memcpy(key, keys[i], BENCH_KEY_BYTES);
        memcpy(keys[i], keys[j], BENCH_KEY_BYTES);
        memcpy(keys[j], key, BENCH_KEY_BYTES);
    }
}

static double put_all(const struct engine *engine, const uint8_t (*keys)[BENCH_KEY_BYTES],
                      size_t count, enum sync sync)
{
    uint8_t value[BENCH_VALUE_BYTES];
    double begin_s = now_s();
    for (size_t i = 0; i < count; i += BATCH) {
        memset(value, (int)(i / BATCH), sizeof(value));
        engine->put(keys + i, count - i < BATCH ? count - i : BATCH, value, sync);
    }
    return (double)count / (now_s() - begin_s);
}

static double file_bytes(const struct engine *engine)
{
    struct stat status;
    if (stat(engine->file, &status))
        bench_fail(engine->file, errno);
    return (double)status.st_blocks * 512;
}

/* One engine, one round: every phase, in this process. */
static void run_phases(const struct engine *engine, size_t records, double results[PHASES])
{
    uint8_t(*keys)[BENCH_KEY_BYTES] = malloc(records * BENCH_KEY_BYTES);
    if (!keys)
        bench_fail("memory", ENOMEM);
    make_keys(keys, records, 1);
    engine->open();
    results[PUT] = put_all(engine, keys, records, SYNC_OWN);
    engine->settle();
    results[FILE_BYTES] = file_bytes(engine) / (double)records;
    shuffle(keys, records, 2);
    if (engine->get(keys, records) != records) /* once for the caches of both */
        bench_fail("records are missing", 0);
    double begin_s = now_s();
    size_t found = engine->get(keys, records);
    results[GET] = (double)found / (now_s() - begin_s);
    begin_s = now_s();
    size_t scanned = engine->scan();
    results[SCAN] = (double)scanned / (now_s() - begin_s);
    if (found != records || scanned != records)
        bench_fail("records are missing", 0);
    shuffle(keys, records, 3);
    results[PUT_AGAIN] = put_all(engine, keys, records, SYNC_OWN);
    shuffle(keys, records, 6);
    engine->settle();
    results[PUT_SYNCED] = put_all(engine, keys, records, SYNC_SOME);
    shuffle(keys, records, 4);
    engine->settle();
    results[PUT_DURABLE] = put_all(
        engine, keys, records < DURABLE_RECORDS_MAX ? records : DURABLE_RECORDS_MAX, SYNC_EACH);
    shuffle(keys, records, 5);
    begin_s = now_s();
    for (size_t i = 0; i < records; i += BATCH)
        engine->delete (keys + i, records - i < BATCH ? records - i : BATCH);
    results[DELETE] = (double)records / (now_s() - begin_s);
    if (engine->scan() != 0)
        bench_fail("records are left", 0);
    engine->close();
    free(keys);
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    results[PEAK_MIB] = (double)usage.ru_maxrss / 1024;
}

static void run_round(const struct engine *engine, size_t records, double results[PHASES])
{
    int ends[2];
    if (pipe(ends))
        bench_fail("pipe", errno);
    pid_t child = fork();
    if (child == 0) {
        run_phases(engine, records, results);
        if (write(ends[1], results, sizeof(double) * PHASES) != sizeof(double) * PHASES)
            bench_fail("pipe", errno);
        exit(0);
    }
    (void)close(ends[1]);
    if (read(ends[0], results, sizeof(double) * PHASES) != sizeof(double) * PHASES)
        bench_fail(engine->name, 0);
    (void)close(ends[0]);
    (void)waitpid(child, NULL, 0);
    (void)unlink(engine->file);
}

/* ---- results ---- */

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

struct spread {
    double low, median, high;
};

static struct spread spread_of(double (*results)[PHASES], unsigned rounds, enum phase phase)
{
    double values[ROUNDS_MAX];
    for (unsigned i = 0; i < rounds; i++)
        values[i] = results[i][phase];
    qsort(values, rounds, sizeof(*values), compare_doubles);
    return (struct spread){values[0], values[rounds / 2], values[rounds - 1]};
}

static void print_results(const struct options *options, double (*ours)[PHASES],
                          double (*theirs)[PHASES])
{
    if (!options->json)
        printf("\n%-36s %-12s %26s %26s %7s\n", "", "", "conure (min..max)", "lmdb (min..max)",
               "ratio");
    for (unsigned phase = 0; phase < PHASES; phase++) {
        struct spread a = spread_of(ours, options->rounds, phase);
        struct spread b = spread_of(theirs, options->rounds, phase);
        double ratio = a.median / b.median;
        if (options->json)
            printf("{\"phase\":\"%s\",\"unit\":\"%s\",\"records\":%zu,\"rounds\":%u,"
                   "\"conure\":%.1f,\"conure_min\":%.1f,\"conure_max\":%.1f,"
                   "\"lmdb\":%.1f,\"lmdb_min\":%.1f,\"lmdb_max\":%.1f,\"ratio\":%.3f}\n",
                   phases[phase].name, phases[phase].unit, options->records, options->rounds,
                   a.median, a.low, a.high, b.median, b.low, b.high, ratio);
        else
            printf("%-36s %-12s %9.0f (%.0f..%.0f) %9.0f (%.0f..%.0f)  %.2f%s\n",
                   phases[phase].name, phases[phase].unit, a.median, a.low, a.high, b.median, b.low,
                   b.high, ratio, phases[phase].less_is_better ? " (less is better)" : "");
    }
}

static int parse(struct options *options, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--json"))
            options->json = true;
        else if (i + 1 < argc && !strcmp(argv[i], "--records"))
            options->records = strtoul(argv[++i], NULL, 10);
        else if (i + 1 < argc && !strcmp(argv[i], "--rounds"))
            options->rounds = (unsigned)strtoul(argv[++i], NULL, 10);
        else if (i + 1 < argc && !strcmp(argv[i], "--folder"))
            options->folder = argv[++i];
        else
            return -1;
    }
    return options->records && options->rounds && options->rounds <= ROUNDS_MAX ? 0 : -1;
}

int main(int argc, char **argv)
{
    static double ours[ROUNDS_MAX][PHASES], theirs[ROUNDS_MAX][PHASES];
    struct options options = {.records = 1000000, .rounds = 5, .folder = "."};
    if (parse(&options, argc, argv)) {
        fprintf(stderr,
                "bench_storage: want [--records N] [--rounds 1..%u] [--json] [--folder "
                "DIR]\n",
                ROUNDS_MAX);
        return 2;
    }
    if (chdir(options.folder))
        bench_fail(options.folder, errno);
    for (unsigned round = 0; round < options.rounds; round++) {
        bool first = round % 2 == 0; /* neither is always the one that goes first */
        run_round(first ? &engine_conure : &engine_lmdb, options.records,
                  first ? ours[round] : theirs[round]);
        run_round(first ? &engine_lmdb : &engine_conure, options.records,
                  first ? theirs[round] : ours[round]);
        fprintf(stderr, "round %u of %u\n", round + 1, options.rounds);
    }
    print_results(&options, ours, theirs);
    return 0;
}
