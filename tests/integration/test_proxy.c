/* follower_mode proxy between real nodes: node 2 passes on what comes to it. */
#include "../unit/unit.h"

#include "lib/cluster.h"
#include "lib/fill.h"
#include "lib/raw.h"
#include "lib/usage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LEADER, FOLLOWER };

static struct cluster cluster;
static const struct fill fill = {.count = 40, .value_bytes = 1000000};

static void make_cluster(void)
{
    cluster_new(&cluster, &(struct cluster_options){.count = 2});
    node_configure(&cluster.nodes[FOLLOWER], "follower_mode: proxy\n");
    cluster_start(&cluster);
    fill_put(&cluster, &fill);
}

/* More than a node would keep of a request. Bodies and answers are passed on while they come. */
START_TEST(test_proxy_passes_on_what_is_larger_than_a_request)
{
    make_cluster();
    pid_t httpd = node_daemon_pid(&cluster.nodes[1], "httpd");
    unsigned before_kib = usage_kib(httpd, "VmRSS"), held_kib = 8u << 10;
    usage_forget_peak(httpd);
    char *value = memset(malloc(fill.value_bytes), 'x', fill.value_bytes);
    for (unsigned i = 0; i < 10; i++)
        CLUSTER_CHECK(&cluster, session_ask(&cluster.session, 1, "PUT", "/kv/fill-own", value,
                                            fill.value_bytes, NULL)
                                        .status == 200);
    free(value);
    struct session others;
    session_open(&others, cluster.nodes, &cluster.count, 30000);
    struct answer own = session_ask(&others, 0, "GET", "/kv?prefix=fill-", NULL, 0, NULL);
    struct answer passed =
        session_ask(&cluster.session, 1, "GET", "/kv?prefix=fill-", NULL, 0, NULL);
    CLUSTER_CHECK(&cluster, own.status == 200 && passed.status == 200);
    CLUSTER_CHECK(&cluster, own.body_bytes > (size_t)fill.count * fill.value_bytes);
    ck_assert_uint_eq(passed.body_bytes, own.body_bytes);
    ck_assert(!memcmp(passed.body, own.body, own.body_bytes));
#ifdef __SANITIZE_ADDRESS__
    held_kib = 1u << 20; /* it keeps what is freed for a while */
#endif
    ck_assert_uint_lt(usage_kib(httpd, "VmHWM"), before_kib + held_kib);
    session_close(&others);
    cluster_check_logs(&cluster);
    cluster_free(&cluster);
}
END_TEST

/* ---- clients that take their time ---- */

/* More than there are connections to the leader. */
#define SLOW_CLIENTS 80u

static void expect_others_served(const char *when)
{
    uint64_t begin_ms = now_ms();
    for (unsigned i = 0; i < 10; i++) {
        struct answer put =
            session_ask(&cluster.session, FOLLOWER, "PUT", "/kv/small", "v", 1, NULL);
        struct answer get =
            session_ask(&cluster.session, FOLLOWER, "GET", "/kv/small", NULL, 0, NULL);
        if (put.status != 200 || get.status != 200)
            fprintf(stderr, "%s: PUT %d, GET %d %s\n", when, put.status, get.status, get.body);
        CLUSTER_CHECK(&cluster, put.status == 200 && get.status == 200);
    }
    fprintf(stderr, "%s: ten writes and reads in %llu ms\n", when,
            (unsigned long long)(now_ms() - begin_ms));
}

START_TEST(test_proxy_slow_clients_do_not_keep_others_from_the_leader)
{
    int fds[SLOW_CLIENTS];
    make_cluster();
    for (unsigned i = 0; i < SLOW_CLIENTS; i++) {
        fds[i] = raw_connect(&cluster.nodes[FOLLOWER], 4096);
        raw_send(fds[i], "GET /kv?prefix=fill- HTTP/1.1\r\nHost: h\r\n\r\n");
    }
    expect_others_served("80 that read nothing");
    for (unsigned i = 0; i < SLOW_CLIENTS; i++)
        close(fds[i]);
    for (unsigned i = 0; i < SLOW_CLIENTS; i++) {
        fds[i] = raw_connect(&cluster.nodes[FOLLOWER], 0);
        raw_send(fds[i],
                 "PUT /kv/never HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\nbegin");
    }
    expect_others_served("80 that send nothing more");
    CLUSTER_CHECK(&cluster,
                  session_ask(&cluster.session, LEADER, "GET", "/kv/never", NULL, 0, NULL).status ==
                      404);
    for (unsigned i = 0; i < SLOW_CLIENTS; i++)
        close(fds[i]);
    cluster_check_logs(&cluster);
    cluster_free(&cluster);
}
END_TEST

/* The leader does not say how long the body would be; the answer must not say that it is empty. */
START_TEST(test_proxy_head_of_a_scan_has_no_length)
{
    char answer[1024];
    size_t length = 0;
    ssize_t got;
    make_cluster();
    int fd = raw_connect(&cluster.nodes[FOLLOWER], 0);
    raw_send(fd, "HEAD /kv?prefix=fill- HTTP/1.1\r\nHost: h\r\n\r\n");
    while ((got = recv(fd, answer + length, sizeof(answer) - 1 - length, 0)) > 0)
        length += (size_t)got;
    ck_assert_int_eq(got, 0); /* the end of the connection */
    answer[length] = '\0';
    ck_assert_msg(!strncmp(answer, "HTTP/1.1 200 ", 13), "%s", answer);
    ck_assert_msg(!strcasestr(answer, "content-length"), "%s", answer);
    ck_assert_msg(!strcmp(answer + length - 4, "\r\n\r\n"), "%s", answer);
    close(fd);
    cluster_free(&cluster);
}
END_TEST

UNIT_MAIN_WITHIN(120, "proxy", test_proxy_passes_on_what_is_larger_than_a_request,
                 test_proxy_slow_clients_do_not_keep_others_from_the_leader,
                 test_proxy_head_of_a_scan_has_no_length)
