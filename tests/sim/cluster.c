/* A run: a cluster begins, suffers, heals and must come to rest. */
#include "cluster_private.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void cluster_violate(struct cluster *cluster, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(cluster->result->violation, sizeof(cluster->result->violation), format, arguments);
    va_end(arguments);
    longjmp(cluster->escape, 1);
}

void cluster_trace(struct cluster *cluster, uint64_t word)
{
    uint64_t hash = (cluster->result->trace ^ word) * 0x9e3779b97f4a7c15u;
    cluster->result->trace = hash ^ hash >> 31;
}

struct node *cluster_node(struct cluster *cluster, uint64_t number)
{
    for (uint32_t i = 0; i < NODES; i++)
        if (cluster->nodes[i].number == number)
            return &cluster->nodes[i];
    return NULL;
}

struct node *cluster_leader(struct cluster *cluster)
{
    struct node *newest = NULL;
    for (uint32_t i = 0; i < NODES; i++) {
        struct node *node = &cluster->nodes[i];
        if (node->is_running && node->raft.role == RAFT_LEADER &&
            (!newest || node->raft.hard_state.term > newest->raft.hard_state.term))
            newest = node;
    }
    return newest;
}

static void heal_all(struct cluster *cluster)
{
    cluster->is_resting = true;
    memset(cluster->is_cut, 0, sizeof(cluster->is_cut));
    cluster->loss = cluster->duplication = 0;
    cluster->delay_ms_max = 5;
    for (uint32_t i = 0; i < NODES; i++) {
        struct node *node = &cluster->nodes[i];
        node->crash_in = 0;
        node->is_paused = node->is_disk_stalled = false;
        if (!node->is_running)
            node_restart(cluster, node);
        else
            disk_start(cluster, node);
    }
}

static bool is_at_rest(struct cluster *cluster)
{
    const struct node *leader = cluster_leader(cluster);
    if (!leader || !raft_has_committed_own_term(&leader->raft) ||
        leader->raft.configuration.index > leader->raft.commit_index)
        return false;
    for (uint32_t i = 0; i < leader->raft.configuration.members_count; i++) {
        const struct node *node =
            cluster_node(cluster, leader->raft.configuration.members[i].number);
        if (node->store.applied_index != leader->raft.terms.last_index ||
            node->store.hash != leader->store.hash)
            return false;
    }
    return true;
}

static void happen(struct cluster *cluster, const struct happening *happening)
{
    static node_fn *const on[] = {
        [TICK] = node_on_tick,
        [DELIVERY] = node_on_delivery,
        [DISK_DONE] = node_on_disk_done,
        [CLIENT_REQUEST] = node_on_request,
        [STREAM_END] = node_on_stream_end,
    };
    struct node *node = &cluster->nodes[happening->node];
    if (happening->kind == CLIENT_TURN) {
        client_turn(cluster, happening);
    } else if (happening->kind == CLIENT_ANSWER) {
        client_answer(cluster, happening);
    } else if (happening->kind == FAULT) {
        if (!cluster->is_resting) {
            fault_one(cluster);
            timeline_add(cluster, chance_between(&cluster->chance, 1, cluster->fault_pause_ms_max),
                         (struct happening){.kind = FAULT});
        }
    } else if (node->is_running &&
               (!happening->incarnation || happening->incarnation == node->incarnation)) {
        if (node->is_paused) { /* it all comes later */
            cluster->result->events--;
            timeline_add(cluster, 5 * TICK_MS, *happening);
            return;
        }
        node_run(cluster, node, on[happening->kind], happening);
        if (happening->kind == TICK && node->is_running &&
            happening->incarnation == node->incarnation)
            timeline_add(cluster, TICK_MS, *happening);
    }
    free(happening->packet);
}

static void begin(struct cluster *cluster)
{
    struct raft_configuration first = {0};
    first.members_count =
        (uint32_t)(chance_is(&cluster->chance, 800) ? 3 + 2 * chance_below(&cluster->chance, 2)
                                                    : chance_between(&cluster->chance, 1, NODES));
    for (uint32_t i = 0; i < first.members_count; i++)
        first.members[i] = (struct raft_member){i + 1, true};
    fault_heal(cluster);
    faults_choose_temper(cluster);
    for (uint32_t i = 0; i < NODES; i++) {
        struct node *node = &cluster->nodes[i];
        node->number = i + 1;
        if (i < first.members_count)
            node->disk.base_configuration = node->checkpoint.configuration = first;
        node_restart(cluster, node);
    }
    for (uint32_t i = 0; i < CLIENTS; i++)
        client_set_turn(cluster, i, i);
    timeline_add(cluster, 300, (struct happening){.kind = FAULT});
}

/* At rest, and then for a while without an election: nobody is disturbed by servers that were
 * removed, or came back with another term. */
struct calm {
    uint64_t since_ms; /* 0: not yet */
    uint64_t elections;
};

static bool is_calm(struct cluster *cluster, struct calm *calm)
{
    if (!calm->since_ms && is_at_rest(cluster))
        calm->since_ms = cluster->now_ms;
    if (!calm->since_ms || cluster->now_ms < calm->since_ms + CALM_AFTER_MS)
        calm->elections = cluster->result->elections;
    else if (cluster->result->elections != calm->elections)
        cluster_violate(cluster, "an election %llu ms after the cluster came to rest",
                        (unsigned long long)(cluster->now_ms - calm->since_ms));
    return calm->since_ms && cluster->now_ms >= calm->since_ms + CALM_AFTER_MS + CALM_MS;
}

static void run(struct cluster *cluster, uint64_t events_min)
{
    uint64_t rest_until_ms = 0;
    struct calm calm = {0};
    begin(cluster);
    while (cluster->heap_count) {
        struct happening happening = timeline_next(cluster);
        cluster->now_ms = happening.at_ms;
        cluster->result->events++;
        happen(cluster, &happening);
        if (cluster->result->events >= events_min && !rest_until_ms) {
            heal_all(cluster);
            rest_until_ms = cluster->now_ms + REST_MS_MAX;
        }
        if (rest_until_ms && is_calm(cluster, &calm))
            break;
        if (rest_until_ms && !calm.since_ms && cluster->now_ms > rest_until_ms)
            cluster_violate(cluster, "no rest %u ms after everything healed", REST_MS_MAX);
    }
    struct history_finding finding;
    bool is_linearizable = history_is_linearizable(&cluster->history, MODEL_KEYS, &finding);
    if (cluster->is_verbose)
        for (uint32_t i = 0; i < cluster->history.count; i++) {
            const struct operation *operation = &cluster->history.operations[i];
            printf("%s key %u value %llu from %llu to %lld outcome %u\n",
                   operation->kind == OPERATION_PUT ? "put" : "get", operation->key,
                   (unsigned long long)operation->value, (unsigned long long)operation->called_at,
                   (long long)operation->answered_at, operation->outcome);
        }
    if (!is_linearizable)
        cluster_violate(cluster, "no order explains what clients saw of key %u", finding.key);
}

static void cluster_free(struct cluster *cluster)
{
    for (uint32_t i = 0; i < cluster->heap_count; i++)
        free(cluster->heap[i].packet);
    for (uint32_t i = 0; i < NODES; i++) {
        node_forget_memory(&cluster->nodes[i]);
        model_log_free(&cluster->nodes[i].disk);
        model_log_free(&cluster->nodes[i].log);
    }
    for (uint32_t i = 0; i < cluster->configurations_count; i++)
        free(cluster->configurations[i]);
    free(cluster->configurations);
    free(cluster->heap);
    free(cluster->leaders);
    free(cluster->committed_hashes);
    model_log_free(&cluster->committed);
    history_free(&cluster->history);
    free(cluster);
}

void cluster_run(uint64_t seed, uint64_t events_min, int is_verbose, struct cluster_result *ret)
{
    struct cluster *cluster = calloc(1, sizeof(*cluster));
    assert(cluster);
    *ret = (struct cluster_result){0};
    cluster->chance.state = seed;
    cluster->result = ret;
    cluster->is_verbose = is_verbose;
    if (setjmp(cluster->escape) == 0)
        run(cluster, events_min);
    cluster_free(cluster);
}
