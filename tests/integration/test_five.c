/* Five nodes: two may be gone and nobody notices for long; with three gone nothing is acknowledged
 * and only stale reads are answered, until one is back. */
#include "../unit/unit.h"

#include "lib/cluster.h"
#include "lib/crowd.h"

#include <stdio.h>
#include <string.h>

#define SERVES_MS_MAX 5000u
#define MINORITY_MS 6000u /* longer than the server's own deadline for a write */

static void wait_served(struct cluster *cluster, struct crowd *crowd)
{
    uint64_t since_ns = crowd_now_ns();
    CLUSTER_WAIT(cluster, crowd_writes_since(crowd, since_ns) > 0, SERVES_MS_MAX);
}

/* The two that are left, asked for everything. */
static void expect_minority(struct cluster *cluster, const unsigned left[2])
{
    for (unsigned i = 0; i < 2; i++) {
        struct answer put = cluster_put(cluster, left[i], "minority", "never");
        ck_assert_msg(put.status == 503 || put.status == 504, "PUT: %d %s", put.status, put.body);
        struct answer get = cluster_get(cluster, left[i], "settled");
        ck_assert_msg(get.status == 503, "GET: %d %s", get.status, get.body);
        struct answer stale =
            session_ask(&cluster->session, left[i], "GET", "/kv/settled?stale=true", NULL, 0, NULL);
        ck_assert_msg(stale.status == 200 && !strcmp(stale.body, "value"), "stale GET: %d %s",
                      stale.status, stale.body);
        CLUSTER_CHECK(cluster, cluster_post_id(cluster, left[i], "/remove", "node5").status >= 500);
        CLUSTER_CHECK(cluster, !node_is_ready(&cluster->nodes[left[i]]));
    }
}

/* They have noticed. */
static bool knows_no_leader(struct cluster *cluster, const unsigned left[2])
{
    return !status_of(&cluster->pages, left[0]).leader_id[0] &&
           !status_of(&cluster->pages, left[1]).leader_id[0];
}

/* `first` and those behind it, in the circle. */
static unsigned behind(unsigned first, unsigned steps)
{
    return (first + steps) % 5;
}

START_TEST(test_five_nodes_go_on_without_two_and_stop_without_three)
{
    static struct cluster cluster;
    cluster_make(&cluster, &(struct cluster_options){.count = 5});
    struct crowd *crowd = crowd_start(&cluster, &(struct crowd_options){.seed = 5});
    CLUSTER_CHECK(&cluster, cluster_put(&cluster, 0, "settled", "value").status == 200);
    cluster_wait_leader(&cluster, CLUSTER_NONE, SERVES_MS_MAX);
    /* The leader and another, at once. */
    unsigned leader = cluster_wait_leader(&cluster, CLUSTER_NONE, SERVES_MS_MAX);
    node_kill_all(&cluster.nodes[leader]);
    node_kill_all(&cluster.nodes[behind(leader, 1)]);
    wait_served(&cluster, crowd);
    /* And the new one: nobody can lead now. */
    unsigned second = cluster_wait_leader(&cluster, CLUSTER_NONE, SERVES_MS_MAX);
    node_kill_all(&cluster.nodes[second]);
    uint64_t alone_ns = crowd_now_ns();
    unsigned left[2], count = 0;
    for (unsigned i = 0; i < 5; i++)
        if (cluster.nodes[i].pid)
            left[count++] = i;
    CLUSTER_WAIT(&cluster, knows_no_leader(&cluster, left), SERVES_MS_MAX);
    expect_minority(&cluster, left);
    while (crowd_now_ns() - alone_ns < MINORITY_MS * 1000000ull)
        node_pause();
    ck_assert_uint_eq(crowd_writes_since(crowd, alone_ns), 0);
    /* One is back, then all. */
    node_launch(&cluster.nodes[second]);
    wait_served(&cluster, crowd);
    node_launch(&cluster.nodes[leader]);
    node_launch(&cluster.nodes[behind(leader, 1)]);
    CLUSTER_WAIT(&cluster, cluster_has_voters(&cluster, 5), CLUSTER_SETTLE_MS);
    crowd_stop(crowd);
    CLUSTER_WAIT(&cluster, cluster_is_led(&cluster), CLUSTER_SETTLE_MS);
    crowd_read_all(crowd);
    crowd_check(crowd);
    cluster_wait_same(&cluster, CLUSTER_SETTLE_MS);
    cluster_check_logs(&cluster);
    crowd_free(crowd);
    cluster_free(&cluster);
}
END_TEST

UNIT_MAIN_WITHIN(120, "five", test_five_nodes_go_on_without_two_and_stop_without_three)
