/* Clients that write everything down, while daemons and nodes are killed, frozen and cut off:
 * nothing acknowledged is lost, some order of effects explains every answer, and after each blow
 * the cluster serves again soon.
 *
 * The seed is printed first and decides which blow falls where (CONURE_SEED sets it); the machine's
 * own timing it does not decide. */
#include "../unit/unit.h"

#include "lib/cluster.h"
#include "lib/crowd.h"

#include "chance.h"
#include "history.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define SERVES_MS_MAX 5000u /* after a blow, as long as a majority stands */
#define WHOLE_MS_MAX 20000u /* until the node that was hit is a ready follower again */
#define START_MS_MAX 20000u /* until nodes that were all down serve: they start first */

struct chaos {
    struct cluster cluster;
    struct crowd *crowd;
    struct chance chance;
    unsigned target; /* of the blow */
    pid_t frozen;    /* its raftd */
    unsigned slowest_ms;
};

/* ---- blows: each leaves the node hit until it is healed ---- */

static void kill_storaged(struct chaos *chaos)
{
    cluster_kill_daemon(&chaos->cluster, chaos->target, "storaged");
}

static void kill_raftd(struct chaos *chaos)
{
    cluster_kill_daemon(&chaos->cluster, chaos->target, "raftd");
}

static void kill_httpd(struct chaos *chaos)
{
    cluster_kill_daemon(&chaos->cluster, chaos->target, "httpd");
}

static void kill_node(struct chaos *chaos)
{
    node_kill_all(&chaos->cluster.nodes[chaos->target]);
}

static void start_node(struct chaos *chaos)
{
    node_launch(&chaos->cluster.nodes[chaos->target]);
}

static void kill_everything(struct chaos *chaos)
{
    for (unsigned i = 0; i < chaos->cluster.count; i++)
        node_kill_all(&chaos->cluster.nodes[i]);
}

static void start_everything(struct chaos *chaos)
{
    for (unsigned i = 0; i < chaos->cluster.count; i++)
        node_launch(&chaos->cluster.nodes[i]);
}

static void freeze(struct chaos *chaos)
{
    node_freeze(&chaos->cluster.nodes[chaos->target]);
}

static void thaw(struct chaos *chaos)
{
    node_thaw(&chaos->cluster.nodes[chaos->target]);
}

/* Alone, so that requests reach it and wait: it wakes up with the belief it fell asleep with. */
static void freeze_raftd(struct chaos *chaos)
{
    chaos->frozen = node_daemon_pid(&chaos->cluster.nodes[chaos->target], "raftd");
    if (chaos->frozen > 0)
        (void)kill(chaos->frozen, SIGSTOP);
}

static void thaw_raftd(struct chaos *chaos)
{
    if (chaos->frozen > 0)
        (void)kill(chaos->frozen, SIGCONT);
}

static void cut_off(struct chaos *chaos)
{
    cluster_cut_off(&chaos->cluster, chaos->target);
}

static void mute(struct chaos *chaos)
{
    cluster_mute(&chaos->cluster, chaos->target);
}

static void deafen(struct chaos *chaos)
{
    cluster_deafen(&chaos->cluster, chaos->target);
}

static void unplug(struct chaos *chaos)
{
    cluster_unplug(&chaos->cluster, chaos->target);
}

static void heal(struct chaos *chaos)
{
    cluster_heal(&chaos->cluster);
}

static const struct blow {
    const char *name;
    unsigned weight;
    bool leaves_majority; /* of a cluster of three */
    bool needs_network;
    void (*strike)(struct chaos *chaos);
    void (*heal)(struct chaos *chaos); /* NULL: it heals by itself */
} blows[] = {
    {"kill storaged", 3, true, false, kill_storaged, NULL},
    {"kill raftd", 3, true, false, kill_raftd, NULL},
    {"kill httpd", 2, true, false, kill_httpd, NULL},
    {"kill the node", 4, true, false, kill_node, start_node},
    {"kill everything", 1, false, false, kill_everything, start_everything},
    {"freeze the node", 3, true, false, freeze, thaw},
    {"freeze raftd", 3, true, false, freeze_raftd, thaw_raftd},
    {"cut the node off", 3, true, true, cut_off, heal},
    {"mute the node", 1, true, true, mute, heal},
    {"deafen the node", 1, true, true, deafen, heal},
    {"unplug the node", 1, true, true, unplug, heal},
};

#define BLOWS (sizeof(blows) / sizeof(*blows))

static const struct blow *choose_blow(struct chaos *chaos)
{
    unsigned total = 0, die;
    for (unsigned i = 0; i < BLOWS; i++)
        total += chaos->cluster.has_network || !blows[i].needs_network ? blows[i].weight : 0;
    die = (unsigned)chance_below(&chaos->chance, total);
    for (unsigned i = 0;; i++) {
        unsigned weight =
            chaos->cluster.has_network || !blows[i].needs_network ? blows[i].weight : 0;
        if (die < weight)
            return &blows[i];
        die -= weight;
    }
}

/* Half of all blows hit the leader. */
static unsigned choose_target(struct chaos *chaos)
{
    unsigned leader = cluster_wait_leader(&chaos->cluster, CLUSTER_NONE, START_MS_MAX);
    unsigned other = (unsigned)chance_below(&chaos->chance, chaos->cluster.count);
    return chance_is(&chaos->chance, 500) ? leader : other;
}

/* A write that was called after `since_ns` is acknowledged, by now. */
static unsigned wait_served(struct chaos *chaos, uint64_t since_ns, unsigned ms_max)
{
    CLUSTER_WAIT(&chaos->cluster, crowd_writes_since(chaos->crowd, since_ns) > 0, ms_max);
    unsigned ms = (unsigned)((crowd_now_ns() - since_ns) / 1000000u);
    chaos->slowest_ms = ms > chaos->slowest_ms ? ms : chaos->slowest_ms;
    return ms;
}

static void pass_time(struct chaos *chaos, unsigned ms_min, unsigned ms_max)
{
    uint64_t until_ms = now_ms() + chance_between(&chaos->chance, ms_min, ms_max);
    while (now_ms() < until_ms)
        node_pause();
}

static void strike(struct chaos *chaos, unsigned number)
{
    const struct blow *blow = choose_blow(chaos);
    bool majority_stands = blow->leaves_majority && (chaos->cluster.count > 2 || !blow->heal);
    chaos->target = choose_target(chaos);
    fprintf(stderr, "%3u %" PRIu64 " %s%s: %s", number, now_ms(),
            chaos->cluster.nodes[chaos->target].id,
            cluster_leader(&chaos->cluster) == (int)chaos->target ? " (leads)" : "", blow->name);
    blow->strike(chaos);
    if (majority_stands)
        fprintf(stderr, ", a write after %u ms", wait_served(chaos, crowd_now_ns(), SERVES_MS_MAX));
    if (blow->heal) {
        pass_time(chaos, 0, 2500);
        blow->heal(chaos);
        fprintf(stderr, ", healed, a write after %u ms",
                wait_served(chaos, crowd_now_ns(), majority_stands ? SERVES_MS_MAX : START_MS_MAX));
    }
    uint64_t healed_ms = now_ms();
    CLUSTER_WAIT(&chaos->cluster, cluster_is_led(&chaos->cluster), WHOLE_MS_MAX);
    fprintf(stderr, ", whole after %" PRIu64 " ms\n", now_ms() - healed_ms);
    pass_time(chaos, 0, 500);
}

static uint64_t choose_seed(void)
{
    const char *text = getenv("CONURE_SEED");
    uint64_t seed = text ? strtoull(text, NULL, 10) : (uint64_t)time(NULL) * 1000 + now_ms() % 1000;
    fprintf(stderr, "CONURE_SEED=%" PRIu64 "\n", seed);
    return seed;
}

static void check_files(struct cluster *cluster)
{
    char output[4096];
    for (unsigned i = 0; i < cluster->count; i++) {
        node_stop(&cluster->nodes[i]);
        int code = run_command(output, sizeof(output), "%s --check %s/conure.db",
                               binary("conure-storaged"), cluster->nodes[i].data);
        ck_assert_msg(code == 0, "%s", output);
    }
}

/* At most `blows_max` of them, and `ms_max` in all. */
static void run_chaos(const struct cluster_options *options, unsigned blows_max, uint64_t ms_max)
{
    static struct chaos chaos;
    uint64_t seed = choose_seed(), until_ms = now_ms() + ms_max;
    chaos.chance.state = seed;
    cluster_make(&chaos.cluster, options);
    chaos.crowd = crowd_start(&chaos.cluster, &(struct crowd_options){.seed = seed});
    uint64_t began_ns = crowd_now_ns();
    wait_served(&chaos, began_ns, SERVES_MS_MAX);
    unsigned count = 0;
    while (count < blows_max && now_ms() < until_ms)
        strike(&chaos, ++count);
    crowd_stop(chaos.crowd);
    CLUSTER_WAIT(&chaos.cluster, cluster_is_led(&chaos.cluster), WHOLE_MS_MAX);
    crowd_read_all(chaos.crowd);
    fprintf(stderr, "%u blows; a write at most %u ms after each; longest silence %u ms\n", count,
            chaos.slowest_ms, crowd_longest_gap_ms(chaos.crowd, began_ns, crowd_now_ns()));
    crowd_check(chaos.crowd);
    cluster_wait_same(&chaos.cluster, WHOLE_MS_MAX);
    cluster_check_logs(&chaos.cluster);
    check_files(&chaos.cluster);
    crowd_free(chaos.crowd);
    cluster_free(&chaos.cluster);
}

static bool is_nightly(void)
{
    return getenv("CONURE_NIGHTLY") != NULL;
}

START_TEST(test_chaos_one_node_under_kills_stays_linearizable)
{
    run_chaos(&(struct cluster_options){.count = 1}, is_nightly() ? 200 : 4,
              is_nightly() ? 1800000 : 30000);
}
END_TEST

START_TEST(test_chaos_three_nodes_under_kills_freezes_and_partitions_stay_linearizable)
{
    run_chaos(&(struct cluster_options){.count = 3, .has_network = true}, is_nightly() ? 200 : 10,
              is_nightly() ? 3600000 : 90000);
}
END_TEST

/* A check that cannot fail proves nothing: a node's own state, while it hears nothing of the
 * others, read as if it were the cluster's. */
static uint64_t recorded_value(struct history *history, struct cluster *cluster, unsigned via,
                               const char *method, const char *target, const char *value)
{
    uint32_t number = history_call(history, value ? OPERATION_PUT : OPERATION_GET, 0,
                                   value ? strtoull(value, NULL, 10) : 0, crowd_now_ns());
    struct answer answer =
        session_do(&cluster->session, via, method, target, value, value ? strlen(value) : 0, NULL);
    CLUSTER_CHECK(cluster, answer.status == 200);
    history_answer(history, number, OPERATION_DONE, value ? 0 : strtoull(answer.body, NULL, 10),
                   crowd_now_ns());
    return history->operations[number].value;
}

START_TEST(test_chaos_would_notice_a_stale_read)
{
    static struct cluster cluster;
    struct history history = {0};
    struct history_finding finding;
    cluster_make(&cluster, &(struct cluster_options){.count = 3});
    unsigned deaf = cluster_follower(&cluster);
    (void)recorded_value(&history, &cluster, 0, "PUT", "/kv/stale", "1");
    cluster_wait_same(&cluster, WHOLE_MS_MAX);
    pid_t raftd = node_daemon_pid(&cluster.nodes[deaf], "raftd");
    ck_assert_int_eq(kill(raftd, SIGSTOP), 0);
    (void)recorded_value(&history, &cluster, (deaf + 1) % 3, "PUT", "/kv/stale", "2");
    ck_assert_uint_eq(recorded_value(&history, &cluster, (deaf + 1) % 3, "GET", "/kv/stale", NULL),
                      2);
    ck_assert(history_is_linearizable(&history, 1, &finding));
    ck_assert_uint_eq(recorded_value(&history, &cluster, deaf, "GET", "/kv/stale?stale=true", NULL),
                      1);
    ck_assert(!history_is_linearizable(&history, 1, &finding));
    ck_assert_int_eq(kill(raftd, SIGCONT), 0);
    cluster_wait_same(&cluster, WHOLE_MS_MAX);
    history_free(&history);
    cluster_free(&cluster);
}
END_TEST

UNIT_MAIN_WITHIN(is_nightly() ? 7000 : 280, "chaos", test_chaos_would_notice_a_stale_read,
                 test_chaos_one_node_under_kills_stays_linearizable,
                 test_chaos_three_nodes_under_kills_freezes_and_partitions_stay_linearizable)
