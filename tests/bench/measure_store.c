/* clang-format off */
/* Figures of the store alone, with a worker thread that writes the checkpoints as storaged's does:
 *
 *   measure_store overwrite      1 M overwrites of 10,000 keys: the file's growth
 *   measure_store churn [KEYS]   10 rounds of put and delete of KEYS (1 M): growth, leaks
 *   measure_store stall [MIB]    random overwrites of MIB (1024) of data: how long one entry, or one step of a checkpoint, keeps the loop
 *   measure_store gets           random gets with 1 M and with 10 M keys, one by one and as READ has them
 *   measure_store open KEYS      fills conure.db and leaves it as kill -9 would; then
 *   measure_store reopen         says how long opening takes
 *
 * Works in the current folder, on conure.db. */
/* clang-format on */
#include "clock.h"
#include "file.h"
#include "message.h"
#include "store.h"
#include "verify.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define VALUE_BYTES 100u
#define STEP_FRAMES 2048u /* as the checkpointer */
#define BUCKETS 24u       /* of doubling microseconds */

static struct store *store;
static uint8_t value[VALUE_BYTES];
static uint64_t longest_us, longest_cpu_us, buckets[BUCKETS];

/* What a step was for. A machine's own pauses strike all kinds alike: so many in a second of each,
 * also of the one that does nothing. What makes a pause itself has more of them. */
enum step { STEP_APPLY, STEP_FREEZE, STEP_ASK, STEP_THAW, STEP_COMPACT, STEPS };
static struct {
    const char *name;
    uint64_t us, longest_us, pauses;
} steps[STEPS] = {{.name = "apply"},
                  {.name = "freeze"},
                  {.name = "nothing"},
                  {.name = "thaw"},
                  {.name = "compact"}};
#define PAUSE_US 4000u

/* ---- the worker ---- */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool to_write, is_written;
static int (*work)(void); /* what the worker does when it is handed over to */

static int work_checkpoint(void)
{
    return store_checkpoint_write(store);
}

/* As many bytes as the smallest checkpoint begins with, to a file beside. */
static int work_scratch(void)
{
    static uint8_t page[PAGE_BYTES];
    static int fd = -1;
    int code = fd < 0 ? file_open("", "scratch", O_RDWR | O_CREAT, 0600, &fd) : 0;
    for (uint64_t at = 0; !code && at < STORE_CHECKPOINT_BYTES_MIN; at += PAGE_BYTES)
        code = file_write_at("", fd, page, sizeof(page), at * 2);
    return code ? code : file_sync("", fd);
}

static void *worker(void *context)
{
    (void)context;
    pthread_mutex_lock(&mutex);
    for (;;) {
        while (!to_write)
            pthread_cond_wait(&changed, &mutex);
        to_write = false;
        pthread_mutex_unlock(&mutex);
        int code = work();
        if (code) {
            fprintf(stderr, "checkpoint: %s\n", strerror(-code));
            exit(EXIT_FAILURE);
        }
        pthread_mutex_lock(&mutex);
        is_written = true;
        pthread_cond_broadcast(&changed);
    }
}

static void hand_over(void)
{
    pthread_mutex_lock(&mutex);
    to_write = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

static bool take_written(bool wait)
{
    pthread_mutex_lock(&mutex);
    while (wait && !is_written)
        pthread_cond_wait(&changed, &mutex);
    bool written = is_written;
    if (written && !wait)
        is_written = false;
    pthread_mutex_unlock(&mutex);
    return written;
}

/* ---- the loop's part ---- */

struct moment {
    uint64_t us, cpu_us; /* of the wall, and of this thread: a busy machine takes it off the CPU */
};

static uint64_t cpu_now_us(void)
{
    struct timespec cpu;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu);
    return (uint64_t)cpu.tv_sec * 1000000 + (uint64_t)cpu.tv_nsec / 1000;
}

/* The CPU's clock is read within the wall's: a step's CPU time is never longer than it lasted. */
static struct moment moment_now(void)
{
    uint64_t us = clock_monotonic_us();
    return (struct moment){us, cpu_now_us()};
}

static void note(enum step step, struct moment began)
{
    uint64_t cpu_us = cpu_now_us() - began.cpu_us;
    uint64_t us = clock_monotonic_us() - began.us;
    steps[step].us += us;
    steps[step].pauses += us >= PAUSE_US;
    if (us > steps[step].longest_us)
        steps[step].longest_us = us;
    if (cpu_us > longest_cpu_us)
        longest_cpu_us = cpu_us;
    unsigned bucket = us ? 64 - (unsigned)__builtin_clzll(us) : 0;
    buckets[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
    if (us > longest_us)
        longest_us = us;
}

static bool ending;

static void consider_checkpoint(bool force)
{
    struct moment began = moment_now();
    enum step step = STEP_ASK;
    if (!store_checkpoint_is_open(store)) {
        if ((force || store_wants_checkpoint(store)) && store_checkpoint_begin(store)) {
            step = STEP_FREEZE;
            hand_over();
        }
    } else if (ending || take_written(false)) {
        step = STEP_THAW;
        ending = !store_checkpoint_end_some(store, STEP_FRAMES);
    } else if (store_is_full(store)) { /* entries wait; the loop does not */
        (void)take_written(true);
        return;
    }
    note(step, began);
}

#define KEY_BYTES 16u

static void make_key(uint8_t key[KEY_BYTES], uint64_t number)
{
    wire_store_u64(key, number * 0x9e3779b97f4a7c15ull);
    wire_store_u64(key + 8, number);
}

static void apply(enum command_operation operation, uint64_t number)
{
    uint8_t key[KEY_BYTES], bytes[256];
    struct command_result result;
    make_key(key, number);
    struct command command = {.operation = operation,
                              .key = key,
                              .key_bytes = sizeof(key),
                              .value = value,
                              .value_bytes = operation == COMMAND_PUT ? VALUE_BYTES : 0};
    struct buffer into = {.bytes = bytes, .capacity = sizeof(bytes)};
    command_encode(&into, &command);
    struct apply_entry entry = {
        .term = 1, .kind = ENTRY_COMMAND, .data = into.bytes, .data_bytes = into.length};
    struct moment began = moment_now();
    if (store_apply(store, &entry, &result)) {
        fprintf(stderr, "%s\n", store_damage(store));
        exit(EXIT_FAILURE);
    }
    note(STEP_APPLY, began);
    consider_checkpoint(false);
    if (ending || number % 64 != 0)
        return;
    began = moment_now();
    (void)store_compact_some(store, 8);
    note(STEP_COMPACT, began);
}

static void settle(void)
{
    do {
        while (store_compact_some(store, 64))
            ;
        consider_checkpoint(true);
    } while (store_checkpoint_is_open(store) || store_has_changes(store));
}

static double file_mib(void)
{
    struct stat status;
    return stat("conure.db", &status) ? 0 : (double)status.st_size / (1 << 20);
}

static void print_stalls(void)
{
    uint64_t all = 0, sum = 0;
    for (unsigned i = 0; i < BUCKETS; i++)
        all += buckets[i];
    printf("longest %.2f ms (%.2f ms of CPU) of %llu steps;", (double)longest_us / 1000,
           (double)longest_cpu_us / 1000, (unsigned long long)all);
    for (unsigned i = BUCKETS; i-- > 0;) {
        sum += buckets[i];
        if (i > 7 && buckets[i])
            printf(" >=%.1f ms: %llu", (double)(1u << (i - 1)) / 1000, (unsigned long long)sum);
    }
    printf("\n");
    for (unsigned i = 0; i < STEPS; i++) {
        if (steps[i].us)
            printf("    %s: %.2f s, longest %.2f ms, %llu of %u ms or more (%.1f in a second)\n",
                   steps[i].name, (double)steps[i].us / 1e6, (double)steps[i].longest_us / 1000,
                   (unsigned long long)steps[i].pauses, PAUSE_US / 1000,
                   (double)steps[i].pauses / ((double)steps[i].us / 1e6));
        steps[i].us = steps[i].longest_us = steps[i].pauses = 0;
    }
    memset(buckets, 0, sizeof(buckets));
    longest_us = longest_cpu_us = 0;
}

static uint64_t random_next(void)
{
    static uint64_t state = 88172645463325252ull;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

/* ---- what is measured ---- */

static void fill(uint64_t keys)
{
    for (uint64_t i = 0; i < keys; i++)
        apply(COMMAND_PUT, i);
    settle();
}

static void measure_overwrite(void)
{
    fill(10000);
    double before = file_mib(), largest = before;
    for (unsigned i = 0; i < 1000000; i++) {
        apply(COMMAND_PUT, random_next() % 10000);
        if (i % 10000 == 0 && file_mib() > largest)
            largest = file_mib();
    }
    settle();
    printf("overwrites: %.1f MiB before, %.1f MiB after, %.1f MiB at most (%.2fx)\n", before,
           file_mib(), largest, largest / before);
    print_stalls();
}

static void get_some(uint64_t keys)
{
    uint8_t bytes[STORE_GETS_MAX][KEY_BYTES];
    struct store_get gets[STORE_GETS_MAX];
    for (unsigned i = 0; i < STORE_GETS_MAX; i++) {
        make_key(bytes[i], random_next() % keys);
        gets[i].key = (struct node_bytes){bytes[i], KEY_BYTES};
    }
    store_get_many(store, gets, STORE_GETS_MAX);
    for (unsigned i = 0; i < STORE_GETS_MAX; i++)
        if (gets[i].code)
            exit(EXIT_FAILURE);
}

/* Random gets while the store grows tenfold: a level more, and more that no cache holds. */
static void measure_gets(uint64_t keys)
{
    uint8_t key[KEY_BYTES];
    struct tree_record record;
    fill(keys);
    printf("%llu keys: ns of a get:", (unsigned long long)keys);
    for (unsigned round = 0; round < 6; round++) {
        uint64_t began_us = clock_monotonic_us();
        for (unsigned i = 0; i < 1000000; i++) {
            make_key(key, random_next() % keys);
            if (store_get(store, (struct node_bytes){key, KEY_BYTES}, &record))
                exit(EXIT_FAILURE);
        }
        if (round > 0) /* the first checks the pages */
            printf(" %llu", (unsigned long long)(clock_monotonic_us() - began_us) / 1000);
    }
    printf("; as READ does, %u at once:", STORE_GETS_MAX);
    for (unsigned round = 0; round < 5; round++) {
        uint64_t began_us = clock_monotonic_us();
        for (unsigned i = 0; i < 1000000 / STORE_GETS_MAX; i++)
            get_some(keys);
        printf(" %llu", (unsigned long long)(clock_monotonic_us() - began_us) / 1000);
    }
    printf("\n");
}

static void measure_churn(uint64_t keys)
{
    double first = 0;
    for (unsigned round = 1; round <= 10; round++) {
        fill(keys);
        double full = file_mib();
        first = round == 1 ? full : first;
        for (uint64_t i = 0; i < keys; i++)
            apply(COMMAND_DELETE, i);
        settle();
        printf("round %2u: %.1f MiB full (%.2fx the first), %.1f MiB after the deletes\n", round,
               full, full / first, file_mib());
    }
    print_stalls();
}

/* How long a step lasts that does nothing, on this machine and now, while the worker writes and
 * syncs: a busy machine, or a busy host of a guest, stops every program for some milliseconds now
 * and then (a host without a trace in the guest's clocks: it looks like CPU time). A step of the
 * store cannot be told to be shorter. */
static void measure_nothing(void)
{
    uint64_t until_us = clock_monotonic_us() + 6000000;
    if (store_checkpoint_is_open(store) && !ending) {
        (void)take_written(true);
        (void)take_written(false);
        ending = true;
    }
    work = work_scratch;
    hand_over();
    while (clock_monotonic_us() < until_us) {
        struct moment began = moment_now();
        bool written = take_written(false);
        if (written)
            hand_over();
        note(STEP_ASK, began);
    }
    (void)take_written(true);
    (void)take_written(false);
    work = work_checkpoint;
    printf("  doing nothing: ");
    print_stalls();
}

static void measure_stall(uint64_t mib)
{
    uint64_t keys = mib * 5000; /* some 200 bytes of file each */
    fill(keys);
    printf("%llu keys, %.0f MiB of file\nwhile filling: ", (unsigned long long)keys, file_mib());
    print_stalls();
    for (unsigned run = 0; run < 5; run++) {
        uint64_t until_us = clock_monotonic_us() + 6000000;
        while (clock_monotonic_us() < until_us)
            apply(COMMAND_PUT, random_next() % keys);
        printf("random overwrites: ");
        print_stalls();
        measure_nothing();
    }
    settle();
}

int main(int argc, char **argv)
{
    struct error error = {""};
    pthread_t thread;
    const char *what = argc > 1 ? argv[1] : "";
    uint64_t number = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
    uint64_t began_us = clock_monotonic_us();
    setvbuf(stdout, NULL, _IOLBF, 0);
    memset(value, 'v', sizeof(value));
    if (store_open(&store, "conure.db", &error)) {
        fprintf(stderr, "%s\n", error.text);
        return EXIT_FAILURE;
    }
    printf("opened in %.1f ms\n", (double)(clock_monotonic_us() - began_us) / 1000);
    work = work_checkpoint;
    if (pthread_create(&thread, NULL, worker, NULL))
        return EXIT_FAILURE;
    if (!strcmp(what, "overwrite"))
        measure_overwrite();
    else if (!strcmp(what, "churn"))
        measure_churn(number ? number : 1000000);
    else if (!strcmp(what, "stall"))
        measure_stall(number ? number : 1024);
    else if (!strcmp(what, "gets")) {
        measure_gets(1000000);
        measure_gets(10000000);
    } else if (!strcmp(what, "open"))
        fill(number);
    return EXIT_SUCCESS; /* without closing: as kill -9 */
}
