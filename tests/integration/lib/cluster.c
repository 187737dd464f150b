#include "cluster.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

/* Nothing that is asked of a node in peace takes longer; /join answers when the node is a voter. */
#define REQUEST_MS_MAX 30000u
/* A page of a node that hangs is not waited for. */
#define PAGE_MS_MAX 2000u
#define LOG_LINES 40u

/* ---- failing ---- */

static void print_node(const struct cluster *cluster, unsigned node)
{
    static char text[8192];
    const char *url = cluster->nodes[node].url;
    fprintf(stderr, "==== %s: %s%s%s\n", cluster->nodes[node].id, url,
            cluster->nodes[node].pid ? "" : ", not running",
            cluster->nodes[node].frozen[0] ? ", frozen" : "");
    (void)run_command(text, sizeof(text),
                      "curl -sm 1 %s/status; curl -sm 1 %s/raft/config; curl -sm 1 %s/raft/stats; "
                      "curl -sm 1 '%s/readyz?verbose'",
                      url, url, url, url);
    fprintf(stderr, "%s", text);
    node_print_log(&cluster->nodes[node], LOG_LINES);
}

static void print_all(void *context)
{
    const struct cluster *cluster = context;
    for (unsigned i = 0; i < cluster->count; i++)
        print_node(cluster, i);
}

void cluster_fail(const struct cluster *cluster, const char *file, int line, const char *what)
{
    node_fail(&cluster->nodes[0], file, line, what);
}

/* ---- making ---- */

void cluster_new(struct cluster *cluster, const struct cluster_options *options)
{
    *cluster = (struct cluster){0};
    cluster->has_network = options->has_network && network_open();
    cluster->has_usual_ports = options->has_usual_ports && network_enter();
    session_open(&cluster->session, cluster->nodes, &cluster->count, REQUEST_MS_MAX);
    session_open(&cluster->pages, cluster->nodes, &cluster->count, PAGE_MS_MAX);
    node_on_fail(print_all, cluster);
    for (unsigned i = 0; i < options->count; i++)
        (void)cluster_add(cluster, options->more);
}

unsigned cluster_add(struct cluster *cluster, const char *more)
{
    char id[16], host[16], http_addr[16];
    struct node_options options = {.id = id, .more = more};
    ck_assert_uint_lt(cluster->count, CLUSTER_NODES_MAX);
    snprintf(id, sizeof(id), "node%u", cluster->count + 1);
    if (cluster->has_network) {
        options.namespace_fd = network_add(cluster->count + 1, host);
        options.host = host;
        options.http_port = 8081;
        options.raft_port = 7001;
    } else if (cluster->has_usual_ports) {
        options.raft_port = (uint16_t)(7001 + cluster->count);
        options.http_port = (uint16_t)(8081 + cluster->count);
        snprintf(http_addr, sizeof(http_addr), ":%u", options.http_port);
        options.http_addr = http_addr;
    }
    node_new_with(&cluster->nodes[cluster->count], &options);
    return cluster->count++;
}

void cluster_launch(struct cluster *cluster)
{
    for (unsigned i = 0; i < cluster->count; i++)
        node_launch(&cluster->nodes[i]);
    for (unsigned i = 0; i < cluster->count; i++) {
        CLUSTER_WAIT(cluster,
                     node_is_ready(&cluster->nodes[i]) || node_has_ended(&cluster->nodes[i]),
                     CLUSTER_SETTLE_MS);
        CLUSTER_CHECK(cluster, cluster->nodes[i].pid);
    }
}

void cluster_start(struct cluster *cluster)
{
    cluster_launch(cluster);
    for (unsigned i = 1; i < cluster->count; i++)
        cluster_join(cluster, i);
    CLUSTER_WAIT(cluster, cluster_has_voters(cluster, cluster->count), CLUSTER_SETTLE_MS);
}

void cluster_join(struct cluster *cluster, unsigned node)
{
    const struct node *joiner = &cluster->nodes[node];
    struct answer answer = cluster_post_join(cluster, 0, joiner->id, joiner->raft_address);
    if (answer.status != 200)
        fprintf(stderr, "join %s: status %d, curl %d, after %llu ms: %s\n", joiner->id,
                answer.status, answer.curl_code, (unsigned long long)answer.ms, answer.body);
    CLUSTER_CHECK(cluster, answer.status == 200);
}

void cluster_make(struct cluster *cluster, const struct cluster_options *options)
{
    cluster_new(cluster, options);
    cluster_start(cluster);
}

void cluster_free(struct cluster *cluster)
{
    if (cluster->has_network)
        cluster_heal(cluster);
    /* All at once: a leader that stops hands over to nobody who stops too. */
    for (unsigned i = 0; i < cluster->count; i++)
        if (cluster->nodes[i].pid) {
            node_thaw(&cluster->nodes[i]);
            (void)kill(cluster->nodes[i].pid, SIGTERM);
        }
    node_on_fail(NULL, NULL);
    session_close(&cluster->session);
    session_close(&cluster->pages);
    for (unsigned i = 0; i < cluster->count; i++)
        node_free(&cluster->nodes[i]);
}

/* ---- asking ---- */

struct answer cluster_post_join(struct cluster *cluster, unsigned via, const char *id,
                                const char *raft_address)
{
    char body[256];
    int length =
        snprintf(body, sizeof(body), "{\"ID\":\"%s\",\"RaftAddr\":\"%s\"}", id, raft_address);
    return session_do(&cluster->session, via, "POST", "/join", body, (size_t)length, NULL);
}

struct answer cluster_post_id(struct cluster *cluster, unsigned via, const char *target,
                              const char *id)
{
    char body[128];
    int length = snprintf(body, sizeof(body), "{\"ID\":\"%s\"}", id);
    return session_do(&cluster->session, via, "POST", target, body, (size_t)length, NULL);
}

struct answer cluster_put(struct cluster *cluster, unsigned via, const char *key, const char *value)
{
    char target[128];
    key_target(target, sizeof(target), key, strlen(key));
    return session_do(&cluster->session, via, "PUT", target, value, strlen(value), NULL);
}

struct answer cluster_get(struct cluster *cluster, unsigned via, const char *key)
{
    char target[128];
    key_target(target, sizeof(target), key, strlen(key));
    return session_do(&cluster->session, via, "GET", target, NULL, 0, NULL);
}

bool cluster_is_up(const struct cluster *cluster, unsigned node)
{
    return cluster->nodes[node].pid && !cluster->nodes[node].frozen[0] &&
           !cluster->is_cut_off[node];
}

int cluster_leader(struct cluster *cluster)
{
    int leader = CLUSTER_NONE;
    uint64_t term = 0;
    for (unsigned i = 0; i < cluster->count; i++) {
        if (!cluster_is_up(cluster, i))
            continue;
        struct node_status status = status_of(&cluster->pages, i);
        if (status.is_leader && status.term > term) {
            leader = (int)i;
            term = status.term;
        }
    }
    return leader;
}

unsigned cluster_wait_leader(struct cluster *cluster, int other_than, unsigned wait_ms)
{
    int leader = CLUSTER_NONE;
    CLUSTER_WAIT(cluster,
                 (leader = cluster_leader(cluster)) != CLUSTER_NONE && leader != other_than,
                 wait_ms);
    return (unsigned)leader;
}

unsigned cluster_follower(struct cluster *cluster)
{
    unsigned leader = cluster_wait_leader(cluster, CLUSTER_NONE, CLUSTER_SETTLE_MS);
    for (unsigned i = 0; i < cluster->count; i++)
        if (i != leader && cluster_is_up(cluster, i))
            return i;
    cluster_fail(cluster, __FILE__, __LINE__, "there is no follower");
}

bool cluster_has_voters(struct cluster *cluster, unsigned voters)
{
    for (unsigned i = 0; i < cluster->count; i++) {
        if (!cluster_is_up(cluster, i))
            continue;
        struct node_members members = members_of(&cluster->pages, i);
        if (members.voters != voters || members.staging || !node_is_ready(&cluster->nodes[i]))
            return false;
    }
    return true;
}

bool cluster_is_led(struct cluster *cluster)
{
    char leader[32] = "";
    for (unsigned i = 0; i < cluster->count; i++) {
        if (!cluster_is_up(cluster, i))
            continue;
        struct node_status status = status_of(&cluster->pages, i);
        if (!status.leader_id[0] || (leader[0] && strcmp(leader, status.leader_id)) ||
            !node_is_ready(&cluster->nodes[i]))
            return false;
        strcpy(leader, status.leader_id);
    }
    return true;
}

bool cluster_is_same(struct cluster *cluster)
{
    struct node_status first = {0};
    for (unsigned i = 0; i < cluster->count; i++) {
        if (!cluster_is_up(cluster, i))
            continue;
        struct node_status status = status_of(&cluster->pages, i);
        if (!status.storaged_up || status.applied_index != status.commit_index)
            return false;
        if (!first.answered)
            first = status;
        if (status.applied_index != first.applied_index)
            return false;
        CLUSTER_CHECK(cluster,
                      status.state_hash[0] && !strcmp(status.state_hash, first.state_hash));
    }
    return first.answered;
}

void cluster_wait_same(struct cluster *cluster, unsigned wait_ms)
{
    CLUSTER_WAIT(cluster, cluster_is_same(cluster), wait_ms);
}

bool cluster_takes_a_write(struct cluster *cluster, unsigned via)
{
    return cluster_put(cluster, via, "cluster/probe", "x").status == 200;
}

void cluster_check_logs(const struct cluster *cluster)
{
    for (unsigned i = 0; i < cluster->count; i++) {
        const struct node *node = &cluster->nodes[i];
        unsigned restarts = node_log_count(node, "event=child_restart", NULL, NULL);
        unsigned kills = node_log_count(node, "event=child_restart", "signal 9", NULL);
        unsigned errors = node_log_count(node, "level=error", NULL, NULL);
        if (restarts != kills || errors) {
            char lines[4000];
            (void)run_command(lines, sizeof(lines),
                              "grep -nE 'level=error|event=child_restart' %s | grep -v 'signal 9'",
                              node->log);
            fprintf(stderr, "%s, by itself:\n%s", node->id, lines);
        }
        CLUSTER_CHECK(cluster, restarts == kills && errors == 0);
    }
}

/* ---- harming ---- */

void cluster_kill_daemon(struct cluster *cluster, unsigned node, const char *daemon)
{
    pid_t pid = 0;
    CLUSTER_WAIT(cluster, (pid = node_daemon_pid(&cluster->nodes[node], daemon)) > 0,
                 CLUSTER_SETTLE_MS);
    (void)kill(pid, SIGKILL); /* it may just have ended by itself */
}

static void cut(struct cluster *cluster, unsigned node, bool is_mute, bool is_deaf)
{
    ck_assert(cluster->has_network);
    for (unsigned i = 0; i < cluster->count; i++) {
        if (i != node && is_mute)
            network_cut(node + 1, i + 1);
        if (i != node && is_deaf)
            network_cut(i + 1, node + 1);
    }
    cluster->is_cut_off[node] = true;
}

void cluster_cut_off(struct cluster *cluster, unsigned node)
{
    cut(cluster, node, true, true);
}

void cluster_mute(struct cluster *cluster, unsigned node)
{
    cut(cluster, node, true, false);
}

void cluster_deafen(struct cluster *cluster, unsigned node)
{
    cut(cluster, node, false, true);
}

void cluster_unplug(struct cluster *cluster, unsigned node)
{
    network_unplug(node + 1);
    cluster->is_cut_off[node] = true;
}

void cluster_heal(struct cluster *cluster)
{
    for (unsigned i = 0; i < cluster->count; i++) {
        network_plug(i + 1);
        for (unsigned j = 0; j < cluster->count; j++)
            if (i != j)
                network_heal(i + 1, j + 1);
        cluster->is_cut_off[i] = false;
    }
}
