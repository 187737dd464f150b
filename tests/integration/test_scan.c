/* Ranges of keys on a real node: what a scan has is what was put, page by page or at once, of one
 * moment while others write, and cut clearly when it cannot go on. */
#include "../unit/unit.h"

#include "lib/client.h"
#include "lib/cluster.h"
#include "lib/crowd.h"
#include "lib/fill.h"
#include "lib/node.h"
#include "lib/raw.h"
#include "lib/usage.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { KEYS = 1200, VALUE_BYTES = 300, WRITERS = 8 };

static struct node node;

/* ---- writing ---- */

static void put(struct client *client, unsigned i, unsigned generation)
{
    char target[64], value[VALUE_BYTES + 1];
    snprintf(target, sizeof(target), "/kv/k%05u", i);
    snprintf(value, sizeof(value), "%08u%0*u", generation, VALUE_BYTES - 8, i);
    ck_assert_int_eq(client_do(client, "PUT", target, value, VALUE_BYTES, NULL).status, 200);
}

static void *write_share(void *context)
{
    struct client *client = client_new(node.url, 30000);
    for (unsigned i = (unsigned)(uintptr_t)context; i < KEYS; i += WRITERS)
        put(client, i, 1);
    client_free(client);
    return NULL;
}

static void write_all(void)
{
    pthread_t threads[WRITERS];
    for (uintptr_t i = 0; i < WRITERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, write_share, (void *)i), 0);
    for (unsigned i = 0; i < WRITERS; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
}

/* ---- reading ---- */

struct lines {
    unsigned count, generation_first, generation_last, steps;
    unsigned key_first, key_last;
    char next[64];
    bool more, has_end;
};

/* Reads the lines of the body, whose keys follow one another by `step`. */
static struct lines read_lines(const char *body, int step)
{
    struct lines lines = {.has_end = false};
    for (const char *at = body; *at; at = strchr(at, '\n') + 1) {
        unsigned key, generation;
        ck_assert_msg(!lines.has_end && strchr(at, '\n'), "behind the last line: %s", at);
        if (sscanf(at, "{\"key\":\"k%5u\",\"value\":\"%8u", &key, &generation) == 2) {
            if (lines.count == 0)
                lines.key_first = key, lines.generation_first = generation;
            else
                ck_assert_uint_eq(key, lines.key_last + (unsigned)step);
            lines.steps += lines.count && generation != lines.generation_last;
            lines.key_last = key;
            lines.generation_last = generation;
            lines.count++;
            continue;
        }
        unsigned count;
        ck_assert_msg(sscanf(at, "{\"count\":%u,", &count) == 1, "%s", at);
        ck_assert_uint_eq(count, lines.count);
        lines.more = strstr(at, "\"more\":true") != NULL;
        (void)sscanf(strstr(at, "\"next\":"), "\"next\":\"%63[^\"]", lines.next);
        lines.has_end = true;
    }
    ck_assert(lines.has_end);
    return lines;
}

static struct lines scan(struct client *client, int step, const char *query)
{
    char target[256];
    snprintf(target, sizeof(target), "/kv?%s", query);
    struct answer answer = client_do(client, "GET", target, NULL, 0, NULL);
    ck_assert_msg(answer.status == 200, "%s: %d %s", query, answer.status, answer.body);
    ck_assert_str_eq(answer.content_type, "application/x-ndjson");
    return read_lines(answer.body, step);
}

/* ---- tests ---- */

START_TEST(test_scan_has_every_key_at_once_and_page_by_page)
{
    char query[128];
    node_new(&node, NULL);
    node_start(&node);
    write_all();
    struct client *client = client_new(node.url, 30000);
    struct lines all = scan(client, 1, "prefix=k");
    ck_assert_uint_eq(all.count, KEYS);
    ck_assert_uint_eq(all.key_first, 0);
    ck_assert(!all.more && !all.next[0]);
    ck_assert_uint_eq(scan(client, 1, "start=k00100&end=k00200&stale=true").count, 100);
    ck_assert_uint_eq(scan(client, -1, "prefix=&reverse=true").key_first, KEYS - 1);
    for (int reverse = 0; reverse < 2; reverse++) {
        struct lines page = {.next = ""};
        unsigned got = 0;
        do {
            snprintf(query, sizeof(query), "prefix=k&limit=77&after=%s&reverse=%d", page.next,
                     reverse);
            page = scan(client, reverse ? -1 : 1, query);
            ck_assert_uint_eq(page.key_first, reverse ? KEYS - 1 - got : got);
            got += page.count;
        } while (page.more);
        ck_assert_uint_eq(got, KEYS);
    }
    struct answer answer = client_do(client, "GET", "/kv?prefix=k&count_only=1", NULL, 0, NULL);
    ck_assert_msg(strstr(answer.body, "{\"count\":1200,\"more\":false,\"next\":null,"), "%s",
                  answer.body);
    answer = client_do(client, "HEAD", "/kv?prefix=k", NULL, 0, NULL);
    ck_assert_int_eq(answer.status, 200);
    ck_assert_int_eq(client_do(client, "GET", "/kv/k00007", NULL, 0, NULL).status, 200);
    client_free(client);
    node_free(&node);
}
END_TEST

static atomic_bool stop;

/* Writes all keys in order, again and again, each time with the next number. */
static void *write_generations(void *context)
{
    struct client *client = client_new(node.url, 30000);
    (void)context;
    for (unsigned generation = 2; !stop; generation++)
        for (unsigned i = 0; i < KEYS && !stop; i++)
            put(client, i, generation);
    client_free(client);
    return NULL;
}

/* Of one moment: a number for the keys up to some place, and the one before it from there on. */
START_TEST(test_scan_is_of_one_moment_while_others_write)
{
    pthread_t writer;
    unsigned with_a_step = 0;
    node_new(&node, NULL);
    node_start(&node);
    write_all();
    struct client *client = client_new(node.url, 30000);
    ck_assert_int_eq(pthread_create(&writer, NULL, write_generations, NULL), 0);
    uint64_t until_ms = now_ms() + 60000;
    for (unsigned i = 0; (i < 20 || with_a_step < 5) && now_ms() < until_ms; i++) {
        struct lines lines = scan(client, 1, "prefix=k");
        ck_assert_uint_eq(lines.count, KEYS);
        ck_assert_uint_le(lines.steps, 1);
        ck_assert_uint_eq(lines.generation_first, lines.generation_last + lines.steps);
        with_a_step += lines.steps;
    }
    ck_assert_uint_ge(with_a_step, 5);
    stop = true;
    ck_assert_int_eq(pthread_join(writer, NULL), 0);
    client_free(client);
    node_free(&node);
}
END_TEST

/* ---- one who does not read ---- */

/* A small window, so that most of the answer waits in the daemons. */
static int ask_and_wait(const char *query)
{
    char request[256], first[9];
    int fd = raw_connect(&node, 4096);
    snprintf(request, sizeof(request), "GET /kv?%s HTTP/1.1\r\nHost: h\r\n\r\n", query);
    raw_send(fd, request);
    ck_assert_int_eq(recv(fd, first, 8, MSG_WAITALL), 8);
    ck_assert_int_eq(memcmp(first, "HTTP/1.1", 8), 0);
    return fd;
}

/* Reads to the end of the connection; the end of the text is left in `last`. */
static void read_to_end(int fd, char last[1024])
{
    static char text[65536];
    size_t length = 0;
    ssize_t got;
    struct timeval patience = {.tv_sec = 30};
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    while ((got = recv(fd, text + length, sizeof(text) - 1 - length, 0)) > 0) {
        length += (size_t)got;
        if (length > 2048) { /* only the end matters */
            memmove(text, text + length - 1023, 1023);
            length = 1023;
        }
    }
    size_t kept = length < 1023 ? length : 1023;
    memcpy(last, text + length - kept, kept);
    last[kept] = '\0';
    close(fd);
}

static void fill_large(struct client *client)
{
    static char value[1 << 20];
    memset(value, 'v', sizeof(value));
    for (unsigned i = 0; i < 40; i++) {
        char target[32];
        snprintf(target, sizeof(target), "/kv/large%02u", i);
        ck_assert_int_eq(client_do(client, "PUT", target, value, sizeof(value), NULL).status, 200);
    }
}

/* 40 MB of values go to nobody: memory stays where it is, writes and scans of others go on. */
START_TEST(test_scan_slow_readers_hold_up_nobody)
{
    enum { READERS = 32 };
    int fds[READERS];
    char last[1024];
    node_new(&node, NULL);
    node_start(&node);
    struct client *client = client_new(node.url, 30000);
    fill_large(client);
    for (unsigned i = 0; i < READERS; i++)
        fds[i] = ask_and_wait("prefix=large");
    ck_assert_int_eq(client_do(client, "PUT", "/kv/a", "1", 1, NULL).status, 200);
    ck_assert_int_eq(client_do(client, "GET", "/kv?prefix=a", NULL, 0, NULL).status, 200);
#ifndef __SANITIZE_ADDRESS__ /* it keeps what is freed for a while, and that counts */
    ck_assert_uint_lt(usage_kib(node_daemon_pid(&node, "httpd"), "VmHWM"), 200000);
    ck_assert_uint_lt(usage_kib(node_daemon_pid(&node, "storaged"), "RssAnon"), 200000);
#endif
    /* all places are taken by those who do not read: one of them is cut */
    NODE_WAIT(&node,
              client_do(client, "GET", "/kv?prefix=large&limit=20", NULL, 0, NULL).status == 200,
              30000);
    bool cut = false;
    for (unsigned i = 0; i < READERS; i++) {
        if (cut) {
            close(fds[i]);
            continue;
        }
        read_to_end(fds[i], last);
        cut = strstr(last, "\r\n0\r\n\r\n") == NULL;
    }
    ck_assert(cut);
    client_free(client);
    node_free(&node);
}
END_TEST

START_TEST(test_scan_is_cut_clearly_when_storaged_dies)
{
    char last[1024];
    node_new(&node, NULL);
    node_start(&node);
    struct client *client = client_new(node.url, 30000);
    fill_large(client);
    int fd = ask_and_wait("prefix=large");
    ck_assert_int_eq(kill(node_daemon_pid(&node, "storaged"), SIGKILL), 0);
    NODE_WAIT(&node, node_log_count(&node, "edge_down", "peer=storaged", NULL) > 0, 10000);
    read_to_end(fd, last);
    ck_assert_msg(strstr(last, "\"status\":503") && !strstr(last, "\r\n0\r\n\r\n"), "%s", last);
    NODE_WAIT(&node,
              client_do(client, "GET", "/kv?prefix=large&count_only=1", NULL, 0, NULL).status ==
                  200,
              30000);
    client_free(client);
    node_free(&node);
}
END_TEST

/* ---- all keys, while many write ---- */

/* Rounds without and with scans take turns, and their medians are compared: so one stall of the
 * machine is in one round, not in the result. */
#define ROUNDS 15u
#define ROUND_MS 300u
#define P99_FACTOR_MAX 2.0
#define GAP_MS_MORE 50.0 /* a scan that stops all writes for this long, which a p99 may not show   \
                          */
#define RSS_KIB_MAX (64u << 10) /* more than before it; the file's own pages do not count */

struct round {
    uint64_t begin_ns, scan_ns, end_ns;
};

static unsigned anonymous_kib(const pid_t daemons[3])
{
    unsigned kib = 0;
    for (unsigned i = 0; i < 3; i++)
        kib += usage_kib(daemons[i], "RssAnon");
    return kib;
}

/* Reads to the end of an answer, and the daemons' memory from time to time; returns how much more
 * that was at most. Nothing is started meanwhile that would take a processor from the writers. */
static unsigned scan_all(const struct node *of, const pid_t daemons[3], unsigned keys)
{
    static char bytes[64u << 10];
    char last = 0;
    ssize_t length;
    unsigned lines = 0, before_kib = anonymous_kib(daemons), peak_kib = before_kib;
    uint64_t looked_ms = now_ms();
    int fd = raw_connect(of, 0);
    raw_send(fd, "GET /kv?prefix=fill- HTTP/1.0\r\nHost: x\r\n\r\n");
    while ((length = read(fd, bytes, sizeof(bytes))) > 0) {
        for (const char *at = bytes; (at = memchr(at, '\n', (size_t)(bytes + length - at))); at++)
            lines += (at > bytes ? at[-1] : last) == '}';
        last = bytes[length - 1];
        if (now_ms() < looked_ms + 5)
            continue;
        looked_ms = now_ms();
        unsigned kib = anonymous_kib(daemons);
        peak_kib = kib > peak_kib ? kib : peak_kib;
    }
    ck_assert_int_eq(length, 0);
    ck_assert_int_eq(close(fd), 0);
    ck_assert_uint_eq(lines, keys + 1);
    return peak_kib - before_kib;
}

/* Without scans as long as with them in the round before (0: the first). Returns the most that
 * scans took of memory. */
static unsigned round_run(const struct node *of, const pid_t daemons[3], unsigned keys,
                          uint64_t quiet_ns, struct round *round)
{
    const uint64_t least_ns = ROUND_MS * 1000000ull;
    unsigned most_kib = 0;
    round->begin_ns = crowd_now_ns();
    while (crowd_now_ns() - round->begin_ns < (quiet_ns ? quiet_ns : least_ns))
        node_pause();
    round->scan_ns = crowd_now_ns();
    do {
        unsigned kib = scan_all(of, daemons, keys);
        most_kib = kib > most_kib ? kib : most_kib;
        round->end_ns = crowd_now_ns();
    } while (round->end_ns - round->scan_ns < least_ns);
    return most_kib;
}

static int compare_ms(const void *a, const void *b)
{
    const double *left = a, *right = b;
    return (*left > *right) - (*left < *right);
}

static double median(double ms[ROUNDS])
{
    qsort(ms, ROUNDS, sizeof(*ms), compare_ms);
    return ms[ROUNDS / 2];
}

struct figures {
    double p99_ms, gap_ms; /* of writes: medians over the rounds */
};

static struct figures figures_of(struct crowd *crowd, const struct round *rounds, bool meanwhile)
{
    double p99_ms[ROUNDS], gap_ms[ROUNDS];
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t from_ns = meanwhile ? rounds[i].scan_ns : rounds[i].begin_ns;
        uint64_t to_ns = meanwhile ? rounds[i].end_ns : rounds[i].scan_ns;
        unsigned count;
        p99_ms[i] = crowd_write_ms(crowd, from_ns, to_ns, 0.99, &count);
        gap_ms[i] = crowd_longest_gap_ms(crowd, from_ns, to_ns);
        ck_assert_uint_gt(count, 0);
    }
    return (struct figures){median(p99_ms), median(gap_ms)};
}

START_TEST(test_scan_of_all_keys_delays_no_write)
{
    static struct cluster cluster;
    struct round rounds[ROUNDS];
    bool is_nightly = getenv("CONURE_NIGHTLY") != NULL;
    const struct fill fill = {.count = is_nightly ? 1000000 : 100000, .value_bytes = 100};
    unsigned more_kib = 0;
    const struct node *only = &cluster.nodes[0];
    cluster_make(&cluster, &(struct cluster_options){.count = 1});
    fill_put(&cluster, &fill);
    const pid_t daemons[] = {node_daemon_pid(only, "httpd"), node_daemon_pid(only, "raftd"),
                             node_daemon_pid(only, "storaged")};
    struct crowd *crowd = crowd_start(&cluster, &(struct crowd_options){.seed = 31});
    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned kib = round_run(only, daemons, fill.count,
                                 i ? rounds[i - 1].end_ns - rounds[i - 1].scan_ns : 0, &rounds[i]);
        more_kib = kib > more_kib ? kib : more_kib;
    }
    crowd_stop(crowd);
    struct figures before = figures_of(crowd, rounds, false);
    struct figures during = figures_of(crowd, rounds, true);
    fprintf(stderr,
            "scans of %u keys, %u KiB more memory; writes without and meanwhile: p99 %.1f and %.1f "
            "ms, longest gap %.0f and %.0f ms\n",
            fill.count, more_kib, before.p99_ms, during.p99_ms, before.gap_ms, during.gap_ms);
    CLUSTER_CHECK(&cluster, during.p99_ms <= P99_FACTOR_MAX * before.p99_ms);
    CLUSTER_CHECK(&cluster, during.gap_ms <= before.gap_ms + GAP_MS_MORE);
#ifndef __SANITIZE_ADDRESS__
    ck_assert_uint_le(more_kib, RSS_KIB_MAX);
#endif
    crowd_read_all(crowd);
    crowd_check(crowd);
    crowd_free(crowd);
    cluster_free(&cluster);
}
END_TEST

UNIT_MAIN_WITHIN(240, "scan", test_scan_has_every_key_at_once_and_page_by_page,
                 test_scan_is_of_one_moment_while_others_write,
                 test_scan_of_all_keys_delays_no_write, test_scan_slow_readers_hold_up_nobody,
                 test_scan_is_cut_clearly_when_storaged_dies)
