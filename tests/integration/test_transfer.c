/* Leadership handed over: asked for, or because the leader is told to stop: writes go on without
 * the pause an election costs, and none is lost. Or because the leader has lost its storaged. */
#include "../unit/unit.h"

#include "lib/cluster.h"
#include "lib/crowd.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#define SERVES_MS_MAX 5000u
#define GAP_MS_MAX CLUSTER_ELECTION_MS /* an election begins no sooner than that */

static void pass_ms(unsigned ms)
{
    uint64_t until_ms = now_ms() + ms;
    while (now_ms() < until_ms)
        node_pause();
}

static bool leads(struct cluster *cluster, unsigned node)
{
    return status_of(&cluster->pages, node).is_leader;
}

/* The longest time without an acknowledged write since `from_ns`, once they are acknowledged again.
 */
static void expect_no_gap(struct cluster *cluster, struct crowd *crowd, uint64_t from_ns,
                          const char *what)
{
    pass_ms(500);
    uint64_t to_ns = crowd_now_ns();
    CLUSTER_WAIT(cluster, crowd_writes_since(crowd, to_ns) > 0, SERVES_MS_MAX);
    unsigned ms = crowd_longest_gap_ms(crowd, from_ns, crowd_now_ns());
    fprintf(stderr, "%s: longest time without a write %u ms\n", what, ms);
    if (ms >= GAP_MS_MAX)
        cluster_fail(cluster, __FILE__, __LINE__, "writes paused as long as for an election");
}

START_TEST(test_transfer_moves_leadership_without_an_election_timeout)
{
    static struct cluster cluster;
    cluster_make(&cluster, &(struct cluster_options){.count = 3});
    struct crowd *crowd =
        crowd_start(&cluster, &(struct crowd_options){.only_leader = true, .seed = 7});
    pass_ms(500);
    for (unsigned i = 0; i < 6; i++) {
        unsigned leader = cluster_wait_leader(&cluster, CLUSTER_NONE, SERVES_MS_MAX);
        unsigned to = (leader + 1 + i % 2) % 3;
        uint64_t from_ns = crowd_now_ns();
        /* To one by name, asked anywhere; or to whom the leader finds best. */
        const char *id = i < 4 ? cluster.nodes[to].id : NULL;
        struct answer answer = id ? cluster_post_id(&cluster, i % 3, "/transfer", id)
                                  : session_do(&cluster.session, i % 3, "POST", "/transfer",
                                               i == 4 ? "" : "{}", i == 4 ? 0 : 2, NULL);
        ck_assert_msg(answer.status == 200, "transfer %u: %d %s", i, answer.status, answer.body);
        if (id)
            CLUSTER_WAIT(&cluster, leads(&cluster, to), SERVES_MS_MAX);
        else
            (void)cluster_wait_leader(&cluster, (int)leader, SERVES_MS_MAX);
        expect_no_gap(&cluster, crowd, from_ns, id ? id : "to whom it likes");
    }
    unsigned leader = cluster_wait_leader(&cluster, CLUSTER_NONE, SERVES_MS_MAX);
    struct answer answer = cluster_post_id(&cluster, 0, "/transfer", "node9");
    ck_assert_msg(answer.status == 404, "to nobody: %d %s", answer.status, answer.body);
    answer = cluster_post_id(&cluster, 0, "/transfer", cluster.nodes[leader].id);
    ck_assert_msg(answer.status == 200, "to itself: %d %s", answer.status, answer.body);
    CLUSTER_CHECK(&cluster, leads(&cluster, leader));
    crowd_stop(crowd);
    crowd_read_all(crowd);
    crowd_check(crowd);
    cluster_wait_same(&cluster, CLUSTER_SETTLE_MS);
    cluster_check_logs(&cluster);
    crowd_free(crowd);
    cluster_free(&cluster);
}
END_TEST

/* One node after the other is stopped and started, the leader first: an upgrade. */
START_TEST(test_transfer_before_a_leader_that_is_told_to_stop_goes)
{
    static struct cluster cluster;
    cluster_make(&cluster, &(struct cluster_options){.count = 3});
    struct crowd *crowd =
        crowd_start(&cluster, &(struct crowd_options){.only_leader = true, .seed = 8});
    pass_ms(500);
    for (unsigned i = 0; i < 3; i++) {
        unsigned leader = cluster_wait_leader(&cluster, CLUSTER_NONE, SERVES_MS_MAX);
        uint64_t from_ns = crowd_now_ns();
        node_stop(&cluster.nodes[leader]);
        expect_no_gap(&cluster, crowd, from_ns, "the leader's launcher was told to stop");
        node_launch(&cluster.nodes[leader]);
        CLUSTER_WAIT(&cluster, cluster_is_led(&cluster), CLUSTER_SETTLE_MS);
    }
    crowd_stop(crowd);
    crowd_read_all(crowd);
    crowd_check(crowd);
    cluster_wait_same(&cluster, CLUSTER_SETTLE_MS);
    cluster_check_logs(&cluster);
    crowd_free(crowd);
    cluster_free(&cluster);
}
END_TEST

/* A leader without storaged can serve nobody: one that can takes its place, whichever it is. */
START_TEST(test_transfer_away_from_a_leader_without_storaged)
{
    static struct cluster cluster;
    char output[512];
    cluster_make(&cluster, &(struct cluster_options){.count = 5});
    for (unsigned i = 0; i < 2; i++) {
        unsigned leader = cluster_wait_leader(&cluster, CLUSTER_NONE, SERVES_MS_MAX);
        struct node *node = &cluster.nodes[leader];
        ck_assert_int_eq(node_launch_command(node, "stop storaged", output, sizeof(output)), 0);
        CLUSTER_WAIT(&cluster, cluster_takes_a_write(&cluster, (leader + 1) % 5),
                     CLUSTER_SETTLE_MS);
        CLUSTER_CHECK(&cluster, !leads(&cluster, leader));
    }
    for (unsigned i = 0; i < 5; i++)
        (void)node_launch_command(&cluster.nodes[i], "start storaged", output, sizeof(output));
    cluster_wait_same(&cluster, CLUSTER_SETTLE_MS);
    cluster_free(&cluster);
}
END_TEST

START_TEST(test_transfer_away_from_a_leader_whose_storaged_hangs)
{
    static struct cluster cluster;
    cluster_make(&cluster, &(struct cluster_options){.count = 3});
    unsigned leader = cluster_wait_leader(&cluster, CLUSTER_NONE, SERVES_MS_MAX);
    pid_t storaged = node_daemon_pid(&cluster.nodes[leader], "storaged");
    ck_assert_int_eq(kill(storaged, SIGSTOP), 0);
    CLUSTER_WAIT(&cluster, cluster_takes_a_write(&cluster, (leader + 1) % 3), CLUSTER_SETTLE_MS);
    ck_assert_int_eq(kill(storaged, SIGCONT), 0);
    CLUSTER_CHECK(&cluster, !leads(&cluster, leader));
    cluster_wait_same(&cluster, CLUSTER_SETTLE_MS);
    cluster_free(&cluster);
}
END_TEST

UNIT_MAIN_WITHIN(120, "transfer", test_transfer_moves_leadership_without_an_election_timeout,
                 test_transfer_before_a_leader_that_is_told_to_stop_goes,
                 test_transfer_away_from_a_leader_without_storaged,
                 test_transfer_away_from_a_leader_whose_storaged_hangs)
