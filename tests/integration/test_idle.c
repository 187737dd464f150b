/* A node nobody asks anything costs next to nothing. */
#include "../unit/unit.h"

#include "lib/client.h"
#include "lib/node.h"
#include "lib/usage.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define IDLE_SECONDS 10
#define CPU_PERCENT_MAX 0.5
#define RSS_KIB_MAX (40 * 1024)

static void node_usage(const pid_t pids[4], unsigned long *ret_ticks, unsigned long *ret_rss_kib)
{
    *ret_ticks = *ret_rss_kib = 0;
    for (int i = 0; i < 4; i++) {
        *ret_ticks += usage_cpu_ticks(pids[i]);
        *ret_rss_kib += usage_kib(pids[i], "VmRSS");
    }
}

START_TEST(test_idle_node_uses_little_cpu_and_memory)
{
    static const char *const daemons[] = {"storaged", "raftd", "httpd"};
    struct node node;
    pid_t pids[4];
    unsigned long ticks_before, ticks, rss_kib;
    node_new(&node, NULL);
    node_start(&node);
    struct client *client = client_new(node.url, 10000);
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(client_do(client, "PUT", "/kv/a", "value", 5, NULL).status, 200);
    client_free(client);
    for (int i = 0; i < 3; i++)
        pids[i] = node_daemon_pid(&node, daemons[i]);
    pids[3] = node.pid;
    /* Idle begins when the last checkpoint is through: then nothing is left to do. */
    char output[8192];
    NODE_WAIT(&node,
              run_command(output, sizeof(output), "curl -s %s/raft/stats", node.url) == 0 &&
                  strstr(output, "\"durable_index\":\"102\""),
              20000);
    node_usage(pids, &ticks_before, &rss_kib);
    sleep(IDLE_SECONDS); /* what is measured is time that passes */
    node_usage(pids, &ticks, &rss_kib);
    double percent =
        100.0 * (double)(ticks - ticks_before) / (double)sysconf(_SC_CLK_TCK) / IDLE_SECONDS;
    fprintf(stderr, "idle: %.2f %% of a core, %.1f MiB RSS\n", percent, (double)rss_kib / 1024);
    ck_assert_msg(percent < CPU_PERCENT_MAX, "%.2f %% of a core", percent);
#ifdef __SANITIZE_ADDRESS__
    fprintf(stderr, "built with AddressSanitizer: its memory is not measured\n");
#else
    ck_assert_msg(rss_kib < RSS_KIB_MAX, "%lu KiB", rss_kib);
#endif
    node_free(&node);
}
END_TEST

UNIT_MAIN("idle", test_idle_node_uses_little_cpu_and_memory)
