/* The leader is killed at once, as by a power cut: how long until a write through another node
 * succeeds. An election begins after one to two election timeouts of silence, the first follower's
 * to pass, so it should be two of them, give or take what a busy machine takes. */
#include "../unit/unit.h"

#include "lib/cluster.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RUNS 5u
#define RUNS_NIGHTLY 20u
#define RUNS_MAX 20u
#define FAILOVER_MS_MAX (2u * CLUSTER_ELECTION_MS)
#define SLACK_MS 500u   /* two cores, three nodes, and whatever else runs */
#define TRY_MS_MAX 500u /* a client that is kept waiting asks again */

static unsigned runs_count(void)
{
    return getenv("CONURE_NIGHTLY") ? RUNS_NIGHTLY : RUNS;
}

/* From the kill on, until a new write is acknowledged through `via`. */
static unsigned fail_over(struct cluster *cluster, struct session *session, unsigned leader,
                          unsigned via, unsigned run)
{
    char target[32], value[16];
    snprintf(target, sizeof(target), "/kv/failover-%u", run);
    snprintf(value, sizeof(value), "%u", run);
    node_kill_all(&cluster->nodes[leader]);
    uint64_t began_ms = cluster->nodes[leader].killed_ms;
    while (session_do(session, via, "PUT", target, value, strlen(value), NULL).status != 200) {
        if (now_ms() > began_ms + 10 * FAILOVER_MS_MAX)
            cluster_fail(cluster, __FILE__, __LINE__, "no write succeeds after the leader's end");
        node_pause();
    }
    return (unsigned)(now_ms() - began_ms);
}

static int compare(const void *a, const void *b)
{
    const unsigned *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void print_distribution(unsigned *ms, unsigned count)
{
    qsort(ms, count, sizeof(*ms), compare);
    fprintf(stderr, "failover of %u:", count);
    for (unsigned i = 0; i < count; i++)
        fprintf(stderr, " %u", ms[i]);
    fprintf(stderr, " ms; median %u\n", ms[count / 2]);
}

START_TEST(test_failover_takes_at_most_two_election_timeouts)
{
    static struct cluster cluster;
    struct session session;
    unsigned ms[RUNS_MAX];
    cluster_make(&cluster, &(struct cluster_options){.count = 3});
    session_open(&session, cluster.nodes, &cluster.count, TRY_MS_MAX);
    for (unsigned run = 0; run < runs_count(); run++) {
        unsigned leader = cluster_wait_leader(&cluster, CLUSTER_NONE, CLUSTER_SETTLE_MS);
        unsigned via = (leader + 1 + run % 2) % 3;
        ms[run] = fail_over(&cluster, &session, leader, via, run);
        node_launch(&cluster.nodes[leader]);
        CLUSTER_WAIT(&cluster, cluster_is_led(&cluster), CLUSTER_SETTLE_MS);
        cluster_wait_same(&cluster, CLUSTER_SETTLE_MS);
    }
    print_distribution(ms, runs_count());
    unsigned most = runs_count() - 1 - runs_count() / 5; /* a split vote takes another round */
    ck_assert_uint_le(ms[runs_count() / 2], FAILOVER_MS_MAX);
    ck_assert_uint_le(ms[most], FAILOVER_MS_MAX + SLACK_MS);
    ck_assert_uint_le(ms[runs_count() - 1], 2 * FAILOVER_MS_MAX);
    for (unsigned run = 0; run < runs_count(); run++) {
        char key[32], value[16];
        snprintf(key, sizeof(key), "failover-%u", run);
        snprintf(value, sizeof(value), "%u", run);
        CLUSTER_CHECK(&cluster, !strcmp(cluster_get(&cluster, run % 3, key).body, value));
    }
    cluster_check_logs(&cluster);
    session_close(&session);
    cluster_free(&cluster);
}
END_TEST

UNIT_MAIN_WITHIN(280, "failover", test_failover_takes_at_most_two_election_timeouts)
