/* Thousands of connections that send a byte now and then (heads, bodies) or nothing: those who
 * behave do not notice, the daemon's memory and descriptors stay bounded, and all of them are
 * dropped at their deadlines. */
#include "../unit/unit.h"

#include "lib/client.h"
#include "lib/node.h"
#include "lib/raw.h"
#include "lib/usage.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SLOW_COUNT 2000u
#define TRICKLE_MS 1000u
/* Some trickle faster: of those a byte is often there just when the deadline passes. */
#define QUICK_COUNT 64u
#define QUICK_MS 10u
/* head 10 s, body 20 s, idle 60 s (httpd_limits.h); and what a busy machine takes. */
#define HEAD_GONE_MS 15000u
#define BODY_GONE_MS 26000u
#define IDLE_GONE_MS 70000u
#define HONEST_MS 5000u
#define HONEST_MAX 20000u
#define RSS_KIB_MAX (128u << 10)
/* Twice, and what is noise where a request takes a fraction of a millisecond. */
#define P99_FACTOR_MAX 2.0
#define P99_NOISE_MS 5.0

enum slow_kind { SLOW_HEAD, SLOW_BODY, SLOW_IDLE, SLOW_LINE, SLOW_KINDS };

static const struct {
    const char *begin; /* sent at once */
    char trickle;      /* sent now and then; 0: nothing */
    unsigned gone_ms;
} kinds[SLOW_KINDS] = {
    [SLOW_HEAD] = {"GET /livez HTTP/1.1\r\nX-Slow: ", 'x', HEAD_GONE_MS},
    [SLOW_BODY] = {"PUT /kv/slow HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n", 'x',
                   BODY_GONE_MS},
    [SLOW_IDLE] = {"", 0, IDLE_GONE_MS},
    [SLOW_LINE] = {"GET /livez?", 'x', IDLE_GONE_MS},
};

static struct node node;
static int slow[SLOW_COUNT]; /* -1: gone */
static uint64_t opened_ms;

/* ---- the slow ones ---- */

static int slow_open(enum slow_kind kind)
{
    int fd = raw_connect(&node, 0);
    raw_send(fd, kinds[kind].begin);
    return fd;
}

/* The server has closed it, perhaps behind an answer. */
static bool slow_is_gone(int fd)
{
    char bytes[4096];
    for (;;) {
        ssize_t got = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
            return true;
        if (got < 0)
            return false;
    }
}

/* One byte more of each; returns how many are left. */
static unsigned slow_step(void)
{
    unsigned left = 0;
    uint64_t lasted_ms = now_ms() - opened_ms;
    for (unsigned i = 0; i < SLOW_COUNT; i++) {
        unsigned kind = i % SLOW_KINDS;
        if (slow[i] < 0)
            continue;
        if (kinds[kind].trickle)
            (void)send(slow[i], &kinds[kind].trickle, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (slow_is_gone(slow[i])) {
            close(slow[i]);
            slow[i] = -1;
            continue;
        }
        ck_assert_msg(lasted_ms < kinds[kind].gone_ms, "kind %u is there after %llu ms", kind,
                      (unsigned long long)lasted_ms);
        left++;
    }
    return left;
}

/* Until the next step is due. */
static void slow_pause(void)
{
    for (unsigned at_ms = 0; at_ms < TRICKLE_MS; at_ms += QUICK_MS) {
        for (unsigned i = 0; i < QUICK_COUNT; i++)
            if (slow[i] >= 0 && kinds[i % SLOW_KINDS].trickle)
                (void)send(slow[i], &kinds[i % SLOW_KINDS].trickle, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        (void)poll(NULL, 0, QUICK_MS);
    }
}

/* ---- those who behave ---- */

static int compare_us(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static double now_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

/* p99 in milliseconds of reads over HONEST_MS, while the slow ones go on. */
static double honest_p99_ms(struct client *client)
{
    static double us[HONEST_MAX];
    unsigned count = 0;
    uint64_t until_ms = now_ms() + HONEST_MS, step_ms = now_ms();
    while (now_ms() < until_ms && count < HONEST_MAX) {
        if (opened_ms && now_ms() >= step_ms) {
            (void)slow_step();
            step_ms = now_ms() + TRICKLE_MS;
        }
        double began = now_us();
        ck_assert_int_eq(client_do(client, "GET", "/kv/honest", NULL, 0, NULL).status, 200);
        us[count++] = now_us() - began;
    }
    qsort(us, count, sizeof(*us), compare_us);
    return us[count * 99 / 100] / 1000;
}

/* ---- the daemon ---- */

static pid_t httpd_pid(void)
{
    return node_daemon_pid(&node, "httpd");
}

static void open_all(void)
{
    struct rlimit limit = {SLOW_COUNT + 512, SLOW_COUNT + 512};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    opened_ms = now_ms();
    for (unsigned i = 0; i < SLOW_COUNT; i++)
        slow[i] = slow_open(i % SLOW_KINDS);
    opened_ms = now_ms();
}

START_TEST(test_slow_connections_are_dropped_and_disturb_nobody)
{
    node_new(&node, NULL);
    node_start(&node);
    struct client *client = client_new(node.url, 10000);
    ck_assert_int_eq(client_do(client, "PUT", "/kv/honest", "v", 1, NULL).status, 200);
    double before_ms = honest_p99_ms(client);
    unsigned descriptors = usage_descriptors(httpd_pid());
    open_all();
    int quiet = slow_open(SLOW_BODY); /* sends no more at all: so it can read what it is told */
    double with_ms = honest_p99_ms(client);
    ck_assert_uint_ge(usage_descriptors(httpd_pid()), SLOW_COUNT);
    unsigned kib = usage_kib(httpd_pid(), "VmRSS");
    fprintf(stderr, "p99 of reads: %.2f ms, %.2f ms beside %u slow connections; httpd: %u KiB\n",
            before_ms, with_ms, SLOW_COUNT, kib);
    ck_assert_uint_lt(kib, RSS_KIB_MAX);
    if (getenv("CONURE_NIGHTLY")) /* then it runs alone */
        ck_assert_msg(with_ms <= P99_FACTOR_MAX * before_ms + P99_NOISE_MS,
                      "p99 %.2f ms, before %.2f", with_ms, before_ms);
    while (slow_step() > 0)
        slow_pause();
    fprintf(stderr, "all were dropped after %llu ms\n", (unsigned long long)(now_ms() - opened_ms));
    char told[64] = "";
    ck_assert_int_gt(recv(quiet, told, sizeof(told) - 1, MSG_DONTWAIT), 12);
    ck_assert_msg(!strncmp(told, "HTTP/1.1 408", 12), "%s", told);
    close(quiet);
    NODE_WAIT(&node, usage_descriptors(httpd_pid()) <= descriptors, 5000);
    ck_assert_int_eq(client_do(client, "GET", "/kv/honest", NULL, 0, NULL).status, 200);
    ck_assert_int_eq(client_do(client, "GET", "/kv/slow", NULL, 0, NULL).status, 404);
    client_free(client);
    node_free(&node);
}
END_TEST

/* ---- at the caps ---- */

#define CAP 64u /* what the limit of open files leaves */
#define CAP_OF_ONE 48u
#define CAP_FILES (CAP + 256u) /* HTTPD_SPARE_FDS */

static void expect_answer(int fd, const char *status)
{
    char text[2048] = "", want[32];
    snprintf(want, sizeof(want), "HTTP/1.1 %s", status);
    ck_assert_int_gt(recv(fd, text, sizeof(text) - 1, 0), 0);
    ck_assert_msg(!strncmp(text, want, strlen(want)), "want %s: %s", status, text);
    ck_assert(status[0] == '2' || strstr(text, "\r\nRetry-After: 1\r\n"));
}

static const char cap_request[] = "GET /livez HTTP/1.1\r\nHost: h\r\n\r\n";

static void expect_served(int fd)
{
    raw_send(fd, cap_request);
    expect_answer(fd, "200");
}

/* Refused with the reason, at once; who is in is served on; and there is room again when some
 * leave. */
START_TEST(test_slow_who_comes_over_a_cap_is_told_so)
{
    struct rlimit limit = {CAP_FILES, CAP_FILES};
    int open[CAP];
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0); /* the daemons inherit it */
    node_new(&node, NULL);
    node_start(&node);
    for (unsigned i = 0; i < CAP; i++) {
        open[i] = raw_connect_from(&node, i < CAP_OF_ONE ? 2 : 3, 0);
        expect_served(open[i]);
        if (i + 1 != CAP_OF_ONE)
            continue;
        int over = raw_connect_from(&node, 2, 0);
        expect_answer(over, "429");
        close(over);
    }
    for (unsigned i = 0; i < 200; i++) {
        int over = raw_connect_from(&node, 4, 0);
        expect_answer(over, "503");
        close(over);
    }
    unsigned long ticks = usage_cpu_ticks(httpd_pid());
    (void)poll(NULL, 0, 1000); /* what is measured is a second */
    ck_assert_uint_le(usage_cpu_ticks(httpd_pid()) - ticks, 10);
    for (unsigned i = 0; i < CAP; i++)
        expect_served(open[i]);
    close(open[0]);
    int again = -1;
    char first[16] = "";
    for (uint64_t until_ms = now_ms() + 5000; strncmp(first, "HTTP/1.1 200", 12);) {
        ck_assert(now_ms() < until_ms);
        if (again >= 0)
            close(again);
        again = raw_connect_from(&node, 4, 0);
        (void)send(again, cap_request, strlen(cap_request), MSG_NOSIGNAL);
        ck_assert_int_gt(recv(again, first, sizeof(first) - 1, 0), 0);
    }
    close(again);
    for (unsigned i = 1; i < CAP; i++)
        close(open[i]);
    node_free(&node);
}
END_TEST

/* libmicrohttpd can neither understand it nor read on, and asks to be run again and again. */
START_TEST(test_slow_chunk_line_without_end_keeps_nobody_busy)
{
    static char line[60001];
    node_new(&node, NULL);
    node_start(&node);
    memset(line, 'a', sizeof(line) - 1);
    int fd = raw_connect(&node, 0);
    raw_send(fd, "PUT /kv?key=s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;");
    raw_send(fd, line);
    unsigned long ticks = usage_cpu_ticks(httpd_pid());
    (void)poll(NULL, 0, 1000); /* what is measured is a second */
    ck_assert_uint_le(usage_cpu_ticks(httpd_pid()) - ticks, 10);
    close(fd);
    node_free(&node);
}
END_TEST

UNIT_MAIN_WITHIN(200, "slow", test_slow_chunk_line_without_end_keeps_nobody_busy,
                 test_slow_who_comes_over_a_cap_is_told_so,
                 test_slow_connections_are_dropped_and_disturb_nobody)
