/* Daemons restarted by the user under load: nobody is refused. */
#include "../unit/unit.h"

#include "lib/client.h"
#include "lib/load.h"
#include "lib/raw.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RESTARTS 10u
#define DRAIN_MS 300u /* a connection that has served is ended before; the drain lasts longer */

/* Keep-alive clients at full speed; httpd's drain answers each and closes, so even a reset would be
 * a failure here. */
START_TEST(test_restart_httpd_under_load_fails_no_request)
{
    struct node node;
    struct records records;
    char output[4096];
    records_load(&records, 60000);
    node_new(&node, NULL);
    node_start(&node);
    struct load put = {
        .node = &node, .records = &records, .kind = LOAD_PUT, .title = "put under restarts"};
    load_start(&put);
    for (unsigned i = 0; i < RESTARTS; i++) {
        NODE_WAIT(&node, put.done > (i + 1) * 4000u, 60000); /* each in the middle of the load */
        int code = node_launch_command(&node, "restart httpd", output, sizeof(output));
        ck_assert_msg(code == 0, "%s", output);
    }
    unsigned under_load = put.done;
    load_wait(&put);
    fprintf(stderr, "%u restarts during %u of %zu requests, slowest %llu ms\n", RESTARTS,
            under_load, records.count, (unsigned long long)put.ms_max);
    ck_assert_uint_lt(under_load, records.count);
    records_free(&records);
    node_free(&node);
}
END_TEST

static void receive_status(int fd, const char *status)
{
    char text[2048];
    ssize_t got = recv(fd, text, sizeof(text) - 1, 0);
    ck_assert_int_gt(got, 0);
    text[got] = '\0';
    ck_assert_msg(!strncmp(text + strlen("HTTP/1.1 "), status, strlen(status)), "%s", text);
}

/* The drain ends an idle connection in the very turn in which its next request is found: it is
 * answered, as one that had come a turn before. */
START_TEST(test_restart_a_request_that_meets_the_end_of_its_connection_is_answered)
{
    static const char request[] = "PUT /kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n1";
    struct node node;
    node_new(&node, NULL);
    node_start(&node);
    int fd = raw_connect(&node, 0);
    raw_send(fd, request);
    receive_status(fd, "200");
    pid_t httpd = node_daemon_pid(&node, "httpd");
    ck_assert_int_eq(kill(httpd, SIGTERM), 0);
    NODE_WAIT(&node, node_log_count(&node, "daemon=httpd", "event=draining", NULL) == 1, 5000);
    ck_assert_int_eq(kill(httpd, SIGSTOP), 0);
    raw_send(fd, request);
    for (uint64_t until_ms = now_ms() + DRAIN_MS; now_ms() < until_ms;)
        node_pause();
    ck_assert_int_eq(kill(httpd, SIGCONT), 0);
    receive_status(fd, "200");
    close(fd);
    node_free(&node);
}
END_TEST

START_TEST(test_stopped_raftd_is_503_and_started_again_serves)
{
    struct node node;
    char output[4096];
    node_new(&node, NULL);
    node_start(&node);
    struct client *client = client_new(node.url, 10000);
    ck_assert_int_eq(client_do(client, "PUT", "/kv/a", "1", 1, NULL).status, 200);
    ck_assert_int_eq(node_launch_command(&node, "stop raftd", output, sizeof(output)), 0);
    struct answer answer = client_do(client, "PUT", "/kv/a", "2", 1, NULL);
    ck_assert_int_eq(answer.status, 503);
    ck_assert_str_eq(answer.retry_after, "1");
    ck_assert_ptr_nonnull(strstr(answer.body, "\"leader\":\"\""));
    ck_assert_int_eq(client_do(client, "GET", "/kv/a", NULL, 0, NULL).status, 503);
    ck_assert_int_eq(client_do(client, "GET", "/kv/a?stale=1", NULL, 0, NULL).status, 200);
    ck_assert_int_eq(client_do(client, "GET", "/readyz", NULL, 0, NULL).status, 503);
    ck_assert_int_eq(client_do(client, "GET", "/livez", NULL, 0, NULL).status, 200);
    ck_assert_int_eq(node_launch_command(&node, "start raftd", output, sizeof(output)), 0);
    NODE_WAIT(&node, node_is_ready(&node), 10000);
    answer = client_do(client, "GET", "/kv/a", NULL, 0, NULL);
    ck_assert_int_eq(answer.status, 200);
    ck_assert_str_eq(answer.body, "1");
    client_free(client);
    node_free(&node);
}
END_TEST

/* raftd hangs with a write in flight, and dies: the client is told that nobody knows, in time, and
 * not that it failed. */
START_TEST(test_hung_or_killed_raftd_is_504_with_the_outcome_unknown)
{
    struct node node;
    node_new(&node, NULL);
    node_start(&node);
    struct client *client = client_new(node.url, 15000);
    pid_t raftd = node_daemon_pid(&node, "raftd");
    ck_assert_int_eq(kill(raftd, SIGSTOP), 0);
    struct answer answer = client_do(client, "PUT", "/kv/a", "1", 1, NULL);
    ck_assert_int_eq(answer.status, 504);
    ck_assert_ptr_nonnull(strstr(answer.body, "\"outcome\":\"unknown\""));
    ck_assert_uint_ge(answer.ms, 4900);
    ck_assert_uint_lt(answer.ms, 7000);
    answer = client_do(client, "GET", "/kv/a", NULL, 0, NULL);
    ck_assert_int_eq(answer.status, 503); /* a read changes nothing */
    ck_assert_uint_lt(answer.ms, 5000);
    ck_assert_int_eq(kill(raftd, SIGKILL), 0);
    NODE_WAIT(&node, node_is_ready(&node), 10000);
    ck_assert_int_eq(client_do(client, "PUT", "/kv/a", "2", 1, NULL).status, 200);
    ck_assert_str_eq(client_do(client, "GET", "/kv/a", NULL, 0, NULL).body, "2");
    client_free(client);
    node_free(&node);
}
END_TEST

UNIT_MAIN("restart", test_hung_or_killed_raftd_is_504_with_the_outcome_unknown,
          test_restart_httpd_under_load_fails_no_request,
          test_restart_a_request_that_meets_the_end_of_its_connection_is_answered,
          test_stopped_raftd_is_503_and_started_again_serves)
