/* Members that come and go while clients write: the leader removed, a node removed while it hears
 * nothing, and one after the other replaced. */
#include "../unit/unit.h"

#include "lib/cluster.h"
#include "lib/crowd.h"

#include <stdio.h>
#include <string.h>

#define SERVES_MS_MAX 5000u
#define QUIET_MS 4000u /* several election timeouts: who would disrupt does it by then */

static void wait_served(struct cluster *cluster, struct crowd *crowd)
{
    uint64_t since_ns = crowd_now_ns();
    CLUSTER_WAIT(cluster, crowd_writes_since(crowd, since_ns) > 0, SERVES_MS_MAX);
}

static void expect_removed(struct cluster *cluster, unsigned via, unsigned node)
{
    struct answer answer = cluster_post_id(cluster, via, "/remove", cluster->nodes[node].id);
    if (answer.status != 200)
        fprintf(stderr, "remove %s: %d, curl %d: %s\n", cluster->nodes[node].id, answer.status,
                answer.curl_code, answer.body);
    CLUSTER_CHECK(cluster, answer.status == 200);
}

/* Nobody outside makes the others vote: leader and term stay. */
static void expect_no_disruption(struct cluster *cluster, unsigned leader)
{
    struct node_status before = status_of(&cluster->pages, leader);
    uint64_t until_ms = now_ms() + QUIET_MS;
    CLUSTER_CHECK(cluster, before.is_leader);
    while (now_ms() < until_ms) {
        struct node_status status = status_of(&cluster->pages, leader);
        if (!status.is_leader || status.term != before.term)
            cluster_fail(cluster, __FILE__, __LINE__, "a node that is no member disrupts");
        node_pause();
    }
}

static void finish(struct cluster *cluster, struct crowd *crowd)
{
    crowd_stop(crowd);
    crowd_read_all(crowd);
    crowd_check(crowd);
    cluster_check_logs(cluster);
    crowd_free(crowd);
    cluster_free(cluster);
}

/* It serves until the members without it are committed, and then another leads. */
START_TEST(test_members_the_leader_is_removed)
{
    static struct cluster cluster;
    cluster_make(&cluster, &(struct cluster_options){.count = 3});
    unsigned old = cluster_wait_leader(&cluster, CLUSTER_NONE, SERVES_MS_MAX);
    unsigned other = (old + 1) % 3;
    struct crowd *crowd =
        crowd_start(&cluster, &(struct crowd_options){.only_leader = true, .seed = 21});
    wait_served(&cluster, crowd);
    expect_removed(&cluster, other, old);
    unsigned leader = cluster_wait_leader(&cluster, (int)old, SERVES_MS_MAX);
    wait_served(&cluster, crowd);
    CLUSTER_WAIT(&cluster, members_of(&cluster.pages, leader).voters == 2, SERVES_MS_MAX);
    expect_no_disruption(&cluster, leader);
    /* Two voters without it: both are needed, and it does not count. */
    CLUSTER_CHECK(&cluster, !status_of(&cluster.pages, old).is_leader);
    finish(&cluster, crowd);
}
END_TEST

/* It learns nothing of its removal, and stands for election as soon as it can be heard. */
START_TEST(test_members_one_removed_while_it_was_cut_off_disrupts_nobody)
{
    static struct cluster cluster;
    cluster_make(&cluster, &(struct cluster_options){.count = 3, .has_network = true});
    if (!cluster.has_network) {
        fprintf(stderr, "left out: nothing can be cut off here\n");
        cluster_free(&cluster);
        return;
    }
    unsigned leader = cluster_wait_leader(&cluster, CLUSTER_NONE, SERVES_MS_MAX);
    unsigned away = cluster_follower(&cluster);
    struct crowd *crowd = crowd_start(&cluster, &(struct crowd_options){.seed = 22});
    wait_served(&cluster, crowd);
    cluster_cut_off(&cluster, away);
    expect_removed(&cluster, leader, away);
    wait_served(&cluster, crowd);
    uint64_t until_ms = now_ms() + QUIET_MS / 2;
    while (now_ms() < until_ms)
        node_pause();
    cluster_heal(&cluster);
    expect_no_disruption(&cluster, leader);
    /* it stands again and again, and says so once */
    CLUSTER_CHECK(&cluster, node_log_count(&cluster.nodes[away], "event=role", "role=pre_candidate",
                                           NULL) <= 2);
    finish(&cluster, crowd);
}
END_TEST

static bool is_learning(struct cluster *cluster)
{
    return strstr(session_do(&cluster->session, 0, "GET", "/raft/config", NULL, 0, NULL).body,
                  "staging");
}

/* A join waits up to a minute for its node; that must not keep the cluster from being changed. */
START_TEST(test_members_one_that_dies_while_it_joins_can_be_removed_at_once)
{
    static struct cluster cluster;
    char output[512];
    cluster_make(&cluster, &(struct cluster_options){.count = 3});
    unsigned new = cluster_add(&cluster, NULL);
    struct node *node = &cluster.nodes[new];
    node_start(node);
    (void)run_command(
        output, sizeof(output),
        "(curl -sL %s/join -d '{\"ID\":\"%s\",\"RaftAddr\":\"%s\"}' >/dev/null 2>&1 &)",
        cluster.nodes[0].url, node->id, node->raft_address);
    CLUSTER_WAIT(&cluster, is_learning(&cluster), SERVES_MS_MAX);
    node_kill_all(node);
    CLUSTER_WAIT(&cluster, cluster_post_id(&cluster, 0, "/remove", node->id).status == 200,
                 SERVES_MS_MAX);
    CLUSTER_WAIT(&cluster, cluster_has_voters(&cluster, 3), SERVES_MS_MAX);
    cluster_free(&cluster);
}
END_TEST

/* Each of three nodes replaced by a new one, as machines are: add, remove, add, ... */
START_TEST(test_members_all_are_replaced_under_load)
{
    static struct cluster cluster;
    cluster_make(&cluster, &(struct cluster_options){.count = 3});
    CLUSTER_CHECK(&cluster, cluster_put(&cluster, 0, "first", "kept").status == 200);
    struct crowd *crowd = crowd_start(&cluster, &(struct crowd_options){.clients = 8, .seed = 23});
    for (unsigned i = 0; i < 3; i++) {
        unsigned fresh = cluster_add(&cluster, NULL);
        const struct node *node = &cluster.nodes[fresh];
        node_start(&cluster.nodes[fresh]);
        struct answer answer = cluster_post_join(&cluster, i, node->id, node->raft_address);
        ck_assert_msg(answer.status == 200, "join: %d %s", answer.status, answer.body);
        crowd_ask(crowd, cluster.count); /* before, it had a cluster of its own */
        expect_removed(&cluster, fresh, i);
        node_stop(&cluster.nodes[i]);
        wait_served(&cluster, crowd);
        CLUSTER_WAIT(&cluster, cluster_has_voters(&cluster, 3), CLUSTER_SETTLE_MS);
    }
    crowd_stop(crowd);
    crowd_read_all(crowd);
    crowd_check(crowd);
    CLUSTER_CHECK(&cluster, !strcmp(cluster_get(&cluster, 4, "first").body, "kept"));
    cluster_wait_same(&cluster, CLUSTER_SETTLE_MS);
    cluster_check_logs(&cluster);
    crowd_free(crowd);
    cluster_free(&cluster);
}
END_TEST

UNIT_MAIN_WITHIN(120, "members", test_members_the_leader_is_removed,
                 test_members_one_removed_while_it_was_cut_off_disrupts_nobody,
                 test_members_one_that_dies_while_it_joins_can_be_removed_at_once,
                 test_members_all_are_replaced_under_load)
