/* Three nodes as the user makes them by hand: each started alone, two joined through node 1 with
 * curl; and what is refused on the way, with the reason and without a trace. */
#include "../unit/unit.h"

#include "lib/cluster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INVITE_MS_MAX 15000u /* an address nobody answers at is given up by then */

/* ---- the walk-through ---- */

/* curl as the user types it; every answer but the one expected fails. */
static void user_types(const struct cluster *cluster, const char *command, const char *expected)
{
    char output[4096];
    int code = run_command(output, sizeof(output), "%s", command);
    if (code || strcmp(output, expected)) {
        fprintf(stderr, "$ %s\n%s(exit %d; expected %s)\n", command, output, code, expected);
        cluster_fail(cluster, __FILE__, __LINE__, "the walk-through");
    }
}

#define USER_TYPES(cluster, expected, ...)                                                         \
    do {                                                                                           \
        char command_[1024];                                                                       \
        snprintf(command_, sizeof(command_), __VA_ARGS__);                                         \
        user_types(cluster, command_, expected);                                                   \
    } while (0)

static void join_two(struct cluster *cluster)
{
    for (unsigned i = 1; i <= 2; i++)
        USER_TYPES(cluster, "OK\n",
                   "curl -s -X POST 'http://localhost:%u/join' -d "
                   "'{\"ID\":\"%s\",\"RaftAddr\":\"%s\"}'",
                   cluster->nodes[0].http_port, cluster->nodes[i].id,
                   cluster->nodes[i].raft_address);
    CLUSTER_WAIT(cluster, cluster_has_voters(cluster, 3), CLUSTER_SETTLE_MS);
}

static void expect_own_clusters(struct cluster *cluster)
{
    char ids[3][40];
    for (unsigned i = 0; i < 3; i++) {
        struct node_status status = status_of(&cluster->pages, i);
        CLUSTER_CHECK(cluster, status.is_leader && status.cluster_id[0]);
        CLUSTER_CHECK(cluster, !strcmp(status.node_id, cluster->nodes[i].id));
        strcpy(ids[i], status.cluster_id);
    }
    CLUSTER_CHECK(cluster, strcmp(ids[0], ids[1]) && strcmp(ids[1], ids[2]));
}

static void expect_one_cluster(struct cluster *cluster, const char *cluster_id)
{
    for (unsigned i = 0; i < 3; i++) {
        struct node_status status = status_of(&cluster->pages, i);
        struct node_members members = members_of(&cluster->pages, i);
        CLUSTER_CHECK(cluster, !strcmp(status.cluster_id, cluster_id));
        CLUSTER_CHECK(cluster, status.is_leader == (i == 0));
        CLUSTER_CHECK(cluster, !strcmp(status.leader, cluster->nodes[0].raft_address));
        CLUSTER_CHECK(cluster, !strcmp(status.leader_id, "node1"));
        CLUSTER_CHECK(cluster, !strcmp(members.leader, cluster->nodes[0].raft_address));
        for (unsigned k = 0; k < 3; k++) {
            CLUSTER_CHECK(cluster, !strcmp(members.servers[k].id, cluster->nodes[k].id));
            CLUSTER_CHECK(cluster,
                          !strcmp(members.servers[k].address, cluster->nodes[k].raft_address));
        }
    }
}

/* A follower's own answer names the leader in every way the API has. */
static void expect_redirect(struct cluster *cluster, unsigned follower)
{
    const char *target = "/kv?key=k1&value=a%20b";
    char location[256];
    struct answer answer = session_ask(&cluster->session, follower, "PUT", target, "", 0, NULL);
    snprintf(location, sizeof(location), "%s%s", cluster->nodes[0].url, target);
    CLUSTER_CHECK(cluster, answer.status == 307);
    ck_assert_str_eq(answer.location, location);
    const char *const parts[] = {"\"leader\":\"", cluster->nodes[0].raft_address,
                                 "\"leader_id\":\"node1\"", "\"leader_url\":\"",
                                 cluster->nodes[0].url};
    for (unsigned i = 0; i < sizeof(parts) / sizeof(*parts); i++)
        ck_assert_msg(strstr(answer.body, parts[i]) != NULL, "no %s in %s", parts[i], answer.body);
}

static void put_and_get_through_all(struct cluster *cluster)
{
    for (unsigned via = 0; via < 3; via++) {
        unsigned port = cluster->nodes[via].http_port;
        USER_TYPES(cluster, "OK\n", "curl -sL -X PUT 'http://localhost:%u/kv?key=k%u' -d v%u", port,
                   via + 1, via + 1);
        for (unsigned from = 0; from < 3; from++) {
            char expected[8];
            snprintf(expected, sizeof(expected), "v%u", via + 1);
            USER_TYPES(cluster, expected, "curl -sL 'http://localhost:%u/kv?key=k%u'",
                       cluster->nodes[from].http_port, via + 1);
        }
    }
}

/* Any node answers a stale read by itself, from what it has applied. */
static void expect_stale_reads(struct cluster *cluster)
{
    struct answer put = cluster_put(cluster, 0, "stale", "fresh");
    uint64_t revision = strtoull(put.revision, NULL, 10);
    CLUSTER_CHECK(cluster, put.status == 200 && revision > 0);
    for (unsigned i = 0; i < 3; i++) {
        CLUSTER_WAIT(cluster, status_of(&cluster->pages, i).applied_index >= revision,
                     CLUSTER_SETTLE_MS);
        struct answer answer =
            session_ask(&cluster->session, i, "GET", "/kv?key=stale&stale=true", NULL, 0, NULL);
        CLUSTER_CHECK(cluster, answer.status == 200 && !strcmp(answer.body, "fresh"));
        CLUSTER_CHECK(cluster, strtoull(answer.applied_index, NULL, 10) >= revision);
    }
}

/* What remains goes on; the one removed serves nothing of its own, and is not missed. */
static void remove_node3(struct cluster *cluster)
{
    USER_TYPES(cluster, "OK\n",
               "curl -s -X POST 'http://localhost:%u/remove' -d '{\"ID\":\"node3\"}'",
               cluster->nodes[0].http_port);
    for (unsigned i = 0; i < 2; i++) {
        CLUSTER_WAIT(cluster, members_of(&cluster->pages, i).voters == 2, CLUSTER_SETTLE_MS);
        CLUSTER_CHECK(cluster, cluster_put(cluster, i, "after", "removal").status == 200);
    }
    struct answer answer = session_ask(&cluster->session, 2, "PUT", "/kv/lost", "x", 1, NULL);
    if (answer.status != 307 && answer.status != 503)
        fprintf(stderr, "a removed node answers a PUT %d %s\n", answer.status, answer.body);
    CLUSTER_CHECK(cluster, answer.status == 307 || answer.status == 503);
    node_stop(&cluster->nodes[2]);
    for (unsigned i = 0; i < 2; i++) {
        CLUSTER_CHECK(cluster, cluster_put(cluster, i, "after", "its end").status == 200);
        CLUSTER_CHECK(cluster, !strcmp(cluster_get(cluster, 1 - i, "after").body, "its end"));
    }
    CLUSTER_CHECK(cluster, cluster_post_id(cluster, 0, "/remove", "node9").status == 404);
    CLUSTER_CHECK(cluster, cluster_post_id(cluster, 0, "/remove", "node3").status == 404);
}

START_TEST(test_walkthrough_three_nodes_word_for_word)
{
    static struct cluster cluster;
    cluster_new(&cluster, &(struct cluster_options){.count = 3, .has_usual_ports = true});
    cluster_launch(&cluster);
    expect_own_clusters(&cluster);
    struct node_status founder = status_of(&cluster.pages, 0);
    USER_TYPES(&cluster, "OK\n", "curl -s -X PUT 'http://localhost:%u/kv?key=before' -d joining",
               cluster.nodes[0].http_port);
    join_two(&cluster);
    expect_one_cluster(&cluster, founder.cluster_id);
    CLUSTER_CHECK(&cluster, !strcmp(cluster_get(&cluster, 2, "before").body, "joining"));
    expect_redirect(&cluster, 1);
    expect_redirect(&cluster, 2);
    put_and_get_through_all(&cluster);
    expect_stale_reads(&cluster);
    cluster_wait_same(&cluster, CLUSTER_SETTLE_MS);
    remove_node3(&cluster);
    cluster_check_logs(&cluster);
    cluster_free(&cluster);
}
END_TEST

/* ---- follower modes ---- */

static const struct {
    const char *more;
    int status; /* of a PUT at a follower, not followed */
} modes[] = {
    {"follower_mode: redirect\n", 307},
    {"follower_mode: conflict\n", 409},
    {"follower_mode: proxy\n", 200},
};

START_TEST(test_walkthrough_follower_modes)
{
    static struct cluster cluster;
    const struct {
        const char *method, *body;
    } requests[] = {{"PUT", "value"}, {"GET", NULL}, {"DELETE", NULL}};
    cluster_new(&cluster, &(struct cluster_options){.count = 3});
    for (unsigned i = 0; i < 2; i++) /* node 2 conflict, node 3 proxy */
        node_configure(&cluster.nodes[1 + i], modes[1 + i].more);
    cluster_start(&cluster);
    for (unsigned i = 1; i < 3; i++)
        for (unsigned k = 0; k < 3; k++) {
            size_t bytes = requests[k].body ? strlen(requests[k].body) : 0;
            struct answer answer = session_ask(&cluster.session, i, requests[k].method,
                                               "/kv/followed", requests[k].body, bytes, NULL);
            ck_assert_msg(answer.status == modes[i].status, "%s: %s: %d %s", modes[i].more,
                          requests[k].method, answer.status, answer.body);
            if (answer.status == 409)
                ck_assert_ptr_nonnull(strstr(answer.body, cluster.nodes[0].raft_address));
            if (answer.status == 200 && requests[k].body == NULL && k == 1)
                ck_assert_str_eq(answer.body, "value");
        }
    cluster_check_logs(&cluster);
    cluster_free(&cluster);
}
END_TEST

/* ---- refusals ---- */

/* The cluster's members as text, and the other node's own state: neither may change. */
static void picture(struct cluster *cluster, unsigned node, char *into, size_t bytes)
{
    struct node_members members = members_of(&cluster->pages, 0);
    struct node_status other = status_of(&cluster->pages, node);
    size_t length = 0;
    CLUSTER_CHECK(cluster, members.answered);
    for (unsigned i = 0; i < members.voters + members.staging; i++)
        length +=
            (size_t)snprintf(into + length, bytes - length, "%s %s %s\n", members.servers[i].id,
                             members.servers[i].address, members.servers[i].suffrage);
    snprintf(into + length, bytes - length, "%s %s %llu %d", other.cluster_id, other.state_hash,
             (unsigned long long)other.keys, other.is_leader);
}

struct refusal {
    const char *name;
    unsigned node; /* asked to join */
    const char *id, *address;
    int status;
    const char *reason; /* a part of the body */
};

static void expect_refusal(struct cluster *cluster, const struct refusal *refusal)
{
    char before[1024], after[1024];
    picture(cluster, refusal->node, before, sizeof(before));
    struct answer answer = cluster_post_join(cluster, 0, refusal->id, refusal->address);
    fprintf(stderr, "%s: %d after %llu ms: %s", refusal->name, answer.status,
            (unsigned long long)answer.ms, answer.body);
    ck_assert_msg(answer.status == refusal->status && strstr(answer.body, refusal->reason),
                  "%s: %d instead of %d \"...%s...\": %s", refusal->name, answer.status,
                  refusal->status, refusal->reason, answer.body);
    ck_assert_str_eq(answer.content_type, "application/problem+json");
    ck_assert_uint_lt(answer.ms, INVITE_MS_MAX);
    picture(cluster, refusal->node, after, sizeof(after));
    ck_assert_msg(!strcmp(before, after), "%s changed something:\n%s\nwas\n%s", refusal->name,
                  after, before);
    CLUSTER_CHECK(cluster, cluster_takes_a_write(cluster, 0));
}

/* Nodes 1 and 2: the cluster. 3: alone with a key. 4 and 5: another cluster. 6: fresh. */
START_TEST(test_walkthrough_refused_joins_leave_no_trace)
{
    static struct cluster cluster;
    struct node *nodes = cluster.nodes;
    char silent[64], nobody[64];
    cluster_new(&cluster, &(struct cluster_options){.count = 6});
    cluster_launch(&cluster);
    cluster_join(&cluster, 1);
    CLUSTER_CHECK(&cluster, cluster_put(&cluster, 2, "precious", "data").status == 200);
    CLUSTER_CHECK(&cluster,
                  cluster_post_join(&cluster, 3, "node5", nodes[4].raft_address).status == 200);
    /* A port nobody listens on, and one where somebody speaks HTTP. */
    snprintf(nobody, sizeof(nobody), "127.0.0.1:%u", nodes[5].raft_port + 1u);
    snprintf(silent, sizeof(silent), "127.0.0.1:%u", nodes[5].http_port);
    const struct refusal refusals[] = {
        {"a node with a key", 2, "node3", nodes[2].raft_address, 409, "data"},
        {"a leader of another cluster", 3, "node4", nodes[3].raft_address, 409, "cluster"},
        {"a follower of another cluster", 4, "node5", nodes[4].raft_address, 409, "cluster"},
        {"a fresh node under another name", 5, "node9", nodes[5].raft_address, 409, "name"},
        {"a member's name with another's address", 5, "node2", nodes[5].raft_address, 409, "node"},
        {"an address of a member", 5, "node6", nodes[1].raft_address, 409, "address"},
        {"itself under another name", 5, "node6", nodes[0].raft_address, 409, "address"},
        {"an address nobody listens at", 5, "node6", nobody, 502, "node6"},
        {"an address that speaks HTTP", 5, "node6", silent, 502, "node6"},
    };
    for (unsigned i = 0; i < sizeof(refusals) / sizeof(*refusals); i++)
        expect_refusal(&cluster, &refusals[i]);
    CLUSTER_CHECK(&cluster, !strcmp(cluster_get(&cluster, 2, "precious").body, "data"));
    CLUSTER_CHECK(&cluster, cluster_takes_a_write(&cluster, 3));
    /* Nothing of all this stands in the way of the right one; asked again, it is there already. */
    for (unsigned again = 0; again < 2; again++) {
        struct answer answer = cluster_post_join(&cluster, 0, "node6", nodes[5].raft_address);
        ck_assert_msg(answer.status == 200, "%d %s", answer.status, answer.body);
    }
    ck_assert_uint_eq(members_of(&cluster.pages, 0).voters, 3);
    cluster_check_logs(&cluster);
    cluster_free(&cluster);
}
END_TEST

static const struct {
    const char *method, *target, *body;
    int status;
} malformed[] = {
    {"POST", "/join", "", 400},
    {"POST", "/join", "node2", 400},
    {"POST", "/join", "{}", 400},
    {"POST", "/join", "{\"ID\":\"node2\"}", 400},
    {"POST", "/join", "{\"ID\":7,\"RaftAddr\":\"127.0.0.1:7002\"}", 400},
    {"POST", "/join", "{\"ID\":\"node2\",\"RaftAddr\":\"nonsense\"}", 400},
    {"POST", "/join", "{\"ID\":\"node2\",\"RaftAddr\":\"127.0.0.1:99999\"}", 400},
    {"POST", "/join", "{\"ID\":\"\",\"RaftAddr\":\"127.0.0.1:7002\"}", 400},
    {"POST", "/remove", "{}", 400},
    {"POST", "/remove", "[\"node1\"]", 400},
    {"POST", "/transfer", "{\"ID\":", 400},
    {"GET", "/join", NULL, 405},
    {"PUT", "/remove", "{\"ID\":\"node1\"}", 405},
};

START_TEST(test_walkthrough_malformed_changes_are_400)
{
    static struct cluster cluster;
    cluster_make(&cluster, &(struct cluster_options){.count = 1});
    for (unsigned i = 0; i < sizeof(malformed) / sizeof(*malformed); i++) {
        struct answer answer =
            session_ask(&cluster.session, 0, malformed[i].method, malformed[i].target,
                        malformed[i].body, malformed[i].body ? strlen(malformed[i].body) : 0, NULL);
        ck_assert_msg(answer.status == malformed[i].status, "%s %s %s: %d %s", malformed[i].method,
                      malformed[i].target, malformed[i].body, answer.status, answer.body);
    }
    ck_assert_uint_eq(members_of(&cluster.pages, 0).voters, 1);
    cluster_check_logs(&cluster);
    cluster_free(&cluster);
}
END_TEST

/* A member whose disk was wiped is another one under an old name (etcd 20269, 21178): its votes and
 * acknowledgements are not what was counted on. */
START_TEST(test_walkthrough_wiped_disk_under_an_old_name_is_refused_until_removed)
{
    static struct cluster cluster;
    cluster_make(&cluster, &(struct cluster_options){.count = 3});
    struct node *wiped = &cluster.nodes[2];
    CLUSTER_CHECK(&cluster, cluster_put(&cluster, 0, "kept", "value").status == 200);
    node_stop(wiped);
    node_wipe(wiped);
    node_launch(wiped);
    CLUSTER_WAIT(&cluster, status_of(&cluster.pages, 2).raftd_up, CLUSTER_SETTLE_MS);
    expect_refusal(&cluster, &(struct refusal){"a wiped disk", 2, "node3", wiped->raft_address, 409,
                                               "remove"});
    struct node_status status = status_of(&cluster.pages, 2);
    CLUSTER_CHECK(&cluster, strcmp(status.cluster_id, status_of(&cluster.pages, 0).cluster_id));
    CLUSTER_CHECK(&cluster, cluster_post_id(&cluster, 0, "/remove", "node3").status == 200);
    cluster_join(&cluster, 2);
    CLUSTER_WAIT(&cluster, cluster_has_voters(&cluster, 3), CLUSTER_SETTLE_MS);
    CLUSTER_CHECK(&cluster, !strcmp(cluster_get(&cluster, 2, "kept").body, "value"));
    cluster_wait_same(&cluster, CLUSTER_SETTLE_MS);
    cluster_free(&cluster);
}
END_TEST

UNIT_MAIN_WITHIN(120, "walkthrough", test_walkthrough_three_nodes_word_for_word,
                 test_walkthrough_follower_modes, test_walkthrough_refused_joins_leave_no_trace,
                 test_walkthrough_malformed_changes_are_400,
                 test_walkthrough_wiped_disk_under_an_old_name_is_refused_until_removed)
