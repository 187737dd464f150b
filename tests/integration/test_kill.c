/* kill -9 of each daemon, many times in turn, while 32 clients write and retry. */
#include "../unit/unit.h"

#include "lib/client.h"
#include "lib/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KILLS_EACH 10u
#define KILLS_EACH_NIGHTLY 20u
#define RECORDS 30000u

static unsigned kills_each(void)
{
    return getenv("CONURE_NIGHTLY") ? KILLS_EACH_NIGHTLY : KILLS_EACH;
}

static bool node_takes_a_write(const struct node *node)
{
    struct client *client = client_new(node->url, 1000);
    int status = client_do(client, "PUT", "/kv/probe", "x", 1, NULL).status;
    client_free(client);
    return status == 200;
}

/* The next kill only when the node serves again, and that daemon runs under a new pid. */
static void kill_daemon(const struct node *node, const char *daemon)
{
    node_kill_daemon(node, daemon);
    NODE_WAIT(node, node_takes_a_write(node), 10000);
}

static void run_kills(const char *const *daemons, unsigned daemons_count, bool unknown_allowed)
{
    struct node node;
    struct records records;
    records_load(&records, RECORDS);
    unsigned *attempts = calloc(records.count, sizeof(*attempts));
    unsigned *acked = calloc(records.count, sizeof(*acked));
    node_new(&node, NULL);
    node_start(&node);
    struct load put = {.node = &node,
                       .records = &records,
                       .kind = LOAD_PUT,
                       .attempts = attempts,
                       .acked = acked,
                       .retry = true,
                       .rate_max = 600,
                       .title = "put under kills"};
    load_start(&put);
    for (unsigned round = 0; round < kills_each(); round++)
        for (unsigned i = 0; i < daemons_count; i++)
            kill_daemon(&node, daemons[i]);
    put.rate_max = 0; /* the rest as fast as it goes */
    load_wait(&put);
    fprintf(stderr, "%u kills: %u x 503, %u x 504, %u broken connections, slowest answer %llu ms\n",
            kills_each() * daemons_count, put.retries_503, put.outcomes_504, put.broken,
            (unsigned long long)put.ms_max);
    if (!unknown_allowed)
        ck_assert_uint_eq(put.outcomes_504 + put.broken, 0);
    struct load check = {
        .node = &node, .records = &records, .kind = LOAD_CHECK, .acked = acked, .title = "check"};
    load_run(&check);
    for (unsigned i = 0; i < daemons_count; i++) {
        char child[32];
        snprintf(child, sizeof(child), "child=%s", daemons[i]);
        unsigned lines = node_log_count(&node, "daemon=launch", child, "event=child_started");
        if (lines != kills_each() + 1)
            fprintf(stderr, "%s was started %u times\n", daemons[i], lines);
        ck_assert_uint_eq(lines, kills_each() + 1);
        ck_assert_uint_ge(node_log_count(&node, child, "backoff_ms=", "signal 9"), kills_each());
    }
    free(attempts);
    free(acked);
    records_free(&records);
    node_free(&node);
}

START_TEST(test_kill_each_daemon_many_times_loses_nothing)
{
    run_kills((const char *const[]){"storaged", "raftd", "httpd"}, 3, true);
}
END_TEST

/* raftd keeps what waits and applies it again: clients see a pause, or 503 for a read, but no
 * unknown outcome. */
START_TEST(test_kill_storaged_alone_leaves_no_outcome_unknown)
{
    run_kills((const char *const[]){"storaged"}, 1, false);
}
END_TEST

static Suite *kill_suite(void)
{
    Suite *suite = suite_create("kill");
    TCase *group = tcase_create("kill");
    tcase_set_timeout(group, getenv("CONURE_NIGHTLY") ? 3600 : 280);
    tcase_add_test(group, test_kill_each_daemon_many_times_loses_nothing);
    tcase_add_test(group, test_kill_storaged_alone_leaves_no_outcome_unknown);
    suite_add_tcase(suite, group);
    return suite;
}

int main(void)
{
    SRunner *runner = srunner_create(kill_suite());
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
