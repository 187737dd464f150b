/* A fourth node joins three that have cut the beginning of their logs: it gets the state as a
 * snapshot. Writes go on meanwhile, memory is bounded, and wherever the stream is broken off it
 * ends up right. */
#include "../unit/unit.h"

#include "lib/cluster.h"
#include "lib/crowd.h"
#include "lib/fill.h"
#include "lib/usage.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JOINER 3u
#define JOIN_MS_MAX 60000u
#define JOIN_MS_MAX_NIGHTLY 600000u
#define BASELINE_MS 4000u
/* What a stream may cost those who write: three times the latency, or what is noise here. */
#define P99_FACTOR_MAX 3.0
#define P99_NOISE_MS 100.0
/* raftd passes the stream through: its windows, its logs kept in memory, and room. */
#define RAFTD_RSS_KIB_MAX (192u << 10)

static bool is_nightly(void)
{
    return getenv("CONURE_NIGHTLY") != NULL;
}

static unsigned join_ms_max(void)
{
    return is_nightly() ? JOIN_MS_MAX_NIGHTLY : JOIN_MS_MAX;
}

/* ---- memory ---- */

static void forget_peaks(struct cluster *cluster)
{
    for (unsigned i = 0; i < JOINER; i++)
        usage_forget_peak(node_daemon_pid(&cluster->nodes[i], "raftd"));
}

static void expect_bounded_memory(struct cluster *cluster)
{
    for (unsigned i = 0; i <= JOINER; i++) {
        unsigned raftd = usage_kib(node_daemon_pid(&cluster->nodes[i], "raftd"), "VmHWM");
        unsigned storaged = usage_kib(node_daemon_pid(&cluster->nodes[i], "storaged"), "VmHWM");
        fprintf(stderr, "%s: peak RSS of raftd %u KiB, of storaged %u KiB\n", cluster->nodes[i].id,
                raftd, storaged);
#ifndef __SANITIZE_ADDRESS__
        ck_assert_uint_gt(raftd, 0);
        ck_assert_uint_le(raftd, RAFTD_RSS_KIB_MAX);
#endif
    }
}

/* ---- the cluster and the one that comes ---- */

/* Three nodes with the keys, whose leader has cut its log, and a fourth that is not started. */
static void prepare(struct cluster *cluster, const struct fill *fill)
{
    cluster_make(cluster, &(struct cluster_options){.count = 3});
    fill_put(cluster, fill);
    unsigned leader = cluster_wait_leader(cluster, CLUSTER_NONE, CLUSTER_SETTLE_MS);
    CLUSTER_WAIT(cluster, stats_figure(&cluster->pages, leader, "first_log_index") > 1,
                 CLUSTER_SETTLE_MS);
    ck_assert_uint_eq(cluster_add(cluster, NULL), JOINER);
}

/* Not a member any more, and a new disk. */
static void take_out(struct cluster *cluster)
{
    struct answer answer = cluster_post_id(cluster, 0, "/remove", cluster->nodes[JOINER].id);
    ck_assert_msg(answer.status == 200, "remove: %d %s", answer.status, answer.body);
    node_kill_all(&cluster->nodes[JOINER]);
    node_wipe(&cluster->nodes[JOINER]);
}

static bool is_voter(struct cluster *cluster)
{
    struct node_members members = members_of(&cluster->pages, 0);
    return members.answered && members.voters == 4;
}

/* It has what the others have. */
static void expect_whole(struct cluster *cluster, const struct fill *fill)
{
    CLUSTER_WAIT(cluster, cluster_has_voters(cluster, 4), CLUSTER_SETTLE_MS);
    cluster_wait_same(cluster, CLUSTER_SETTLE_MS);
    fill_check(cluster, fill, JOINER, fill->count / 100 + 1);
}

static void expect_by_snapshot(struct cluster *cluster)
{
    CLUSTER_CHECK(cluster, stats_figure(&cluster->pages, JOINER, "last_snapshot_index") > 0);
}

/* Waits until the joiner is a voter, asking for it; returns how long that took. */
static unsigned join(struct cluster *cluster)
{
    struct node *joiner = &cluster->nodes[JOINER];
    uint64_t began_ms = now_ms();
    struct answer answer = cluster_post_join(cluster, 0, joiner->id, joiner->raft_address);
    ck_assert_msg(answer.status == 200 || answer.status == 504, "join: %d, curl %d: %s",
                  answer.status, answer.curl_code, answer.body);
    CLUSTER_WAIT(cluster, is_voter(cluster), join_ms_max());
    return (unsigned)(now_ms() - began_ms);
}

/* ---- while nobody writes, and while many do ---- */

static void join_under_load(struct cluster *cluster)
{
    unsigned before_count, during_count;
    struct crowd *crowd =
        crowd_start(cluster, &(struct crowd_options){.nodes = 3, .only_leader = true, .seed = 11});
    uint64_t begin_ns = crowd_now_ns();
    while (crowd_now_ns() - begin_ns < BASELINE_MS * 1000000ull)
        node_pause();
    uint64_t join_ns = crowd_now_ns();
    unsigned ms = join(cluster);
    uint64_t end_ns = crowd_now_ns();
    crowd_stop(crowd);
    double before = crowd_write_ms(crowd, begin_ns + 1000000000u, join_ns, 0.99, &before_count);
    double during = crowd_write_ms(crowd, join_ns, end_ns, 0.99, &during_count);
    fprintf(stderr,
            "busy: joined in %u ms; p99 of writes %.1f ms of %u before, %.1f ms of %u meanwhile\n",
            ms, before, before_count, during, during_count);
    CLUSTER_CHECK(cluster, during_count > 0);
    CLUSTER_CHECK(cluster, during <= P99_FACTOR_MAX * before || during <= P99_NOISE_MS);
    crowd_read_all(crowd);
    crowd_check(crowd);
    crowd_free(crowd);
}

START_TEST(test_snapshot_join_idle_and_busy)
{
    static struct cluster cluster;
    const struct fill fill = {.count = is_nightly() ? 1000000 : 50000, .value_bytes = 500};
    prepare(&cluster, &fill);
    node_start(&cluster.nodes[JOINER]);
    forget_peaks(&cluster);
    fprintf(stderr, "idle: joined in %u ms\n", join(&cluster));
    expect_by_snapshot(&cluster);
    expect_bounded_memory(&cluster);
    expect_whole(&cluster, &fill);
    take_out(&cluster);
    node_start(&cluster.nodes[JOINER]);
    forget_peaks(&cluster);
    join_under_load(&cluster);
    expect_by_snapshot(&cluster);
    expect_bounded_memory(&cluster);
    expect_whole(&cluster, &fill);
    cluster_check_logs(&cluster);
    cluster_free(&cluster);
}
END_TEST

/* ---- broken off ---- */

struct request {
    const struct cluster *cluster;
    pthread_t thread;
    int status;
};

/* Nobody waits for what it is told. */
static void *request_join(void *context)
{
    struct request *request = context;
    const struct cluster *cluster = request->cluster;
    struct session session;
    char body[128];
    session_open(&session, cluster->nodes, &cluster->count, JOIN_MS_MAX);
    int length = snprintf(body, sizeof(body), "{\"ID\":\"%s\",\"RaftAddr\":\"%s\"}",
                          cluster->nodes[JOINER].id, cluster->nodes[JOINER].raft_address);
    request->status = session_do(&session, 0, "POST", "/join", body, (size_t)length, NULL).status;
    session_close(&session);
    return NULL;
}

static void pass_us(uint64_t us)
{
    uint64_t until_ns = crowd_now_ns() + us * 1000;
    while (crowd_now_ns() < until_ns)
        node_pause();
}

static const struct {
    const char *what;
    const char *daemon; /* NULL: the whole joiner */
    bool at_leader;
} breaks[] = {
    {"the joiner is killed", NULL, false},
    {"the joiner's storaged is killed", "storaged", false},
    {"the joiner's raftd is killed", "raftd", false},
    {"the leader's storaged is killed", "storaged", true},
    {"the leader's raftd is killed", "raftd", true},
};

#define BREAKS (sizeof(breaks) / sizeof(*breaks))

static void break_off(struct cluster *cluster, unsigned way)
{
    if (!breaks[way].daemon) {
        node_kill_all(&cluster->nodes[JOINER]);
        node_launch(&cluster->nodes[JOINER]);
        return;
    }
    int leader = cluster_leader(cluster);
    unsigned node = breaks[way].at_leader && leader >= 0 ? (unsigned)leader : JOINER;
    cluster_kill_daemon(cluster, node, breaks[way].daemon);
}

/* The member that came half in is finished by whoever leads; one that never got in is asked again.
 */
static void wait_joined(struct cluster *cluster)
{
    uint64_t until_ms = now_ms() + join_ms_max();
    while (!is_voter(cluster)) {
        struct node_members members = members_of(&cluster->pages, 0);
        if (members.answered && members.voters + members.staging == 3 &&
            node_is_ready(&cluster->nodes[0]))
            (void)cluster_post_join(cluster, 0, cluster->nodes[JOINER].id,
                                    cluster->nodes[JOINER].raft_address);
        if (now_ms() > until_ms)
            cluster_fail(cluster, __FILE__, __LINE__, "the node does not become a voter");
        node_pause();
    }
}

static void join_broken_off(struct cluster *cluster, const struct fill *fill, unsigned way,
                            uint64_t after_us)
{
    struct request request = {.cluster = cluster};
    node_start(&cluster->nodes[JOINER]);
    ck_assert_int_eq(pthread_create(&request.thread, NULL, request_join, &request), 0);
    pass_us(after_us);
    break_off(cluster, way);
    uint64_t began_ms = now_ms();
    pthread_join(request.thread, NULL);
    wait_joined(cluster);
    fprintf(stderr, "%s after %llu ms: /join %d, a voter %llu ms later\n", breaks[way].what,
            (unsigned long long)after_us / 1000, request.status,
            (unsigned long long)(now_ms() - began_ms));
    expect_whole(cluster, fill);
    take_out(cluster);
}

START_TEST(test_snapshot_join_broken_off_anywhere_ends_up_right)
{
    static struct cluster cluster;
    const struct fill fill = {.count = 20000, .value_bytes = 2000};
    unsigned points = is_nightly() ? 10 : 1;
    prepare(&cluster, &fill);
    node_start(&cluster.nodes[JOINER]);
    unsigned ms = join(&cluster);
    fprintf(stderr, "undisturbed: joined in %u ms\n", ms);
    expect_by_snapshot(&cluster);
    take_out(&cluster);
    for (unsigned point = 1; point <= points; point++)
        for (unsigned way = 0; way < BREAKS; way++) {
            unsigned place = is_nightly() ? point : 2 * way + 1;
            join_broken_off(&cluster, &fill, way, ms * 1000ull * place / 11);
        }
    cluster_check_logs(&cluster);
    cluster_free(&cluster);
}
END_TEST

UNIT_MAIN_WITHIN(is_nightly() ? 3500 : 200, "snapshot_join", test_snapshot_join_idle_and_busy,
                 test_snapshot_join_broken_off_anywhere_ends_up_right)
