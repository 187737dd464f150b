/* The life of a node: it starts, meets events, and crashes between any two things it does. */
#include "cluster_private.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

void node_crash_point(struct cluster *cluster, struct node *node)
{
    if (node->crash_in && --node->crash_in == 0) {
        cluster->crashing = node;
        longjmp(cluster->crash, 1);
    }
}

void node_tell(const struct cluster *cluster, const struct node *node, const char *what)
{
    if (!cluster->is_verbose)
        return;
    printf("%llu ms node %llu %s: role %d term %llu vote %llu leader %llu last %llu persisted %llu "
           "commit %llu configuration %llu {",
           (unsigned long long)cluster->now_ms, (unsigned long long)node->number, what,
           (int)node->raft.role, (unsigned long long)node->raft.hard_state.term,
           (unsigned long long)node->raft.hard_state.vote, (unsigned long long)node->raft.leader,
           (unsigned long long)node->raft.terms.last_index,
           (unsigned long long)node->raft.persisted_index,
           (unsigned long long)node->raft.commit_index,
           (unsigned long long)node->raft.configuration.index);
    for (uint32_t i = 0; i < node->raft.configuration.members_count; i++)
        printf(" %llu%s", (unsigned long long)node->raft.configuration.members[i].number,
               node->raft.configuration.members[i].voter ? "" : "-");
    printf(" }\n");
}

void node_forget_memory(struct node *node)
{
    while (node->jobs_count)
        disk_pop(node);
    node->disk_is_busy = false;
    node->hanging_ms = 0;
    memset(node->puts, 0, sizeof(node->puts));
    memset(node->reads, 0, sizeof(node->reads));
    memset(node->stream_is_open, 0, sizeof(node->stream_is_open));
}

/* Some of what was being written reached the disk: a prefix of the jobs, and of the last of them.
 */
void node_crash(struct cluster *cluster, struct node *node)
{
    uint32_t done = (uint32_t)chance_below(&cluster->chance, node->jobs_count + 1);
    for (uint32_t i = 0; i < done; i++) {
        const struct disk_job *job = &node->jobs[(node->jobs_first + i) % 512];
        uint32_t count = job->count;
        if (i + 1 == done && count)
            count = (uint32_t)chance_below(&cluster->chance, count + 1);
        disk_job_carry_out(node, job, count);
    }
    node_tell(cluster, node, "crashes");
    node_forget_memory(node);
    node->is_running = node->is_paused = node->is_disk_stalled = false;
    node->crash_in = 0;
    cluster->result->crashes++;
}

static void node_start(struct cluster *cluster, struct node *node)
{
    struct raft_start begin = {
        .self = node->number,
        .timing = {.election_ms = 200, .heartbeat_ms = 60, .disk_ms = DISK_MS},
        .hard_state = node->hard_state,
        .commit_index = node->checkpoint.applied_index,
        .random = chance_next(&cluster->chance),
    };
    node->incarnation++;
    node->is_running = true;
    node->store = node->checkpoint;
    if (model_log_last(&node->disk) < node->checkpoint.applied_index)
        cluster_violate(cluster, "node %llu: the store is ahead of the log",
                        (unsigned long long)node->number);
    model_log_copy(&node->log, &node->disk);
    terms_reset(&begin.terms, node->log.base_index, node->log.base_term);
    for (uint64_t index = node->log.base_index + 1; index <= model_log_last(&node->log); index++)
        terms_append(&begin.terms, model_log_at(&node->log, index)->term, 1);
    begin.configuration = *model_log_configuration(&node->log, model_log_last(&node->log));
    uint64_t before = begin.configuration.index ? begin.configuration.index - 1 : 0;
    if (before >= node->log.base_index && before)
        begin.configuration_before = *model_log_configuration(&node->log, before);
    else
        begin.configuration_before = begin.configuration;
    raft_init(&node->raft, &begin);
    node_tell(cluster, node, "starts");
}

void node_restart(struct cluster *cluster, struct node *node)
{
    node_start(cluster, node);
    timeline_add(cluster, chance_below(&cluster->chance, TICK_MS),
                 (struct happening){.kind = TICK,
                                    .node = (uint32_t)(node - cluster->nodes),
                                    .incarnation = node->incarnation});
}

void node_run(struct cluster *cluster, struct node *node, node_fn *fn,
              const struct happening *happening)
{
    if (setjmp(cluster->crash) == 0) {
        fn(cluster, node, happening);
        if (node->raft.role == RAFT_LEADER)
            node_replicate(cluster, node);
    } else {
        node_crash(cluster, cluster->crashing);
    }
}

void node_on_tick(struct cluster *cluster, struct node *node, const struct happening *happening)
{
    (void)happening;
    node_step(cluster, node, (struct raft_event){.type = RAFT_ON_TICK, .elapsed_ms = TICK_MS},
              NULL);
    check_disk(cluster, node);
}

void node_on_disk_done(struct cluster *cluster, struct node *node,
                       const struct happening *happening)
{
    (void)happening;
    const struct disk_job *job = &node->jobs[node->jobs_first];
    disk_job_carry_out(node, job, job->count);
    struct raft_event event = {.type = RAFT_ON_PERSISTED,
                               .index = job->first_index + job->count - 1};
    event.term = job->count ? job->entries[job->count - 1].term : 0;
    disk_pop(node);
    node->disk_is_busy = false;
    node->hanging_ms = 0;
    disk_start(cluster, node);
    node_crash_point(cluster, node);
    if (event.term)
        node_step(cluster, node, event, NULL);
}

static void install(struct cluster *cluster, struct node *node, const struct packet *packet)
{
    const struct model_store *store = &packet->store;
    if (!raft_takes_snapshot(&node->raft, store->applied_index, store->applied_term))
        return;
    node_crash_point(cluster, node);
    node_forget_memory(node);
    node->checkpoint = node->store = *store;
    model_log_reset(&node->log, store->applied_index, store->applied_term, &store->configuration);
    model_log_reset(&node->disk, store->applied_index, store->applied_term, &store->configuration);
    node->incarnation++; /* what was being written is void */
    timeline_add(cluster, TICK_MS,
                 (struct happening){.kind = TICK,
                                    .node = (uint32_t)(node - cluster->nodes),
                                    .incarnation = node->incarnation});
    check_applied(cluster, node);
    node_step(cluster, node,
              (struct raft_event){.type = RAFT_ON_INSTALLED,
                                  .index = store->applied_index,
                                  .term = store->applied_term,
                                  .configuration = &store->configuration},
              NULL);
}

void node_on_delivery(struct cluster *cluster, struct node *node, const struct happening *happening)
{
    const struct packet *packet = happening->packet;
    struct raft_entry entries[ENTRIES_OF_A_MESSAGE_MAX];
    for (uint32_t i = 0; i < packet->message.count; i++)
        entries[i] = (struct raft_entry){packet->entries[i].term, packet->entries[i].configuration};
    node_step(cluster, node,
              (struct raft_event){
                  .type = RAFT_ON_MESSAGE, .message = &packet->message, .entries = entries},
              packet);
    if (cluster->update.outcome == RAFT_REFUSED)
        cluster_violate(
            cluster,
            "node %llu refuses a message of type %u: from %llu, term %llu, index %llu, own term "
            "%llu, role %d, commit %llu, base %llu, last %llu",
            (unsigned long long)node->number, packet->message.type,
            (unsigned long long)packet->message.from, (unsigned long long)packet->message.term,
            (unsigned long long)packet->message.index,
            (unsigned long long)node->raft.hard_state.term, (int)node->raft.role,
            (unsigned long long)node->raft.commit_index,
            (unsigned long long)node->raft.terms.base_index,
            (unsigned long long)node->raft.terms.last_index);
    if (packet->message.type == RAFT_SNAPSHOT && cluster->update.outcome == RAFT_DONE)
        install(cluster, node, packet);
}

void node_on_stream_end(struct cluster *cluster, struct node *node,
                        const struct happening *happening)
{
    node->stream_is_open[happening->peer] = false;
    node_step(cluster, node,
              (struct raft_event){.type = RAFT_ON_SNAPSHOT_SENT,
                                  .member = cluster->nodes[happening->peer].number,
                                  .index = happening->index,
                                  .ok = !chance_is(&cluster->chance, 100)},
              NULL);
}

static struct waiting *waiting_place(struct waiting *list)
{
    for (uint32_t i = 0; i < WAITING_MAX; i++)
        if (!list[i].used)
            return &list[i];
    return NULL;
}

void node_on_request(struct cluster *cluster, struct node *node, const struct happening *happening)
{
    const struct operation *operation = &cluster->history.operations[happening->operation];
    bool is_put = operation->kind == OPERATION_PUT;
    struct waiting *waiting = waiting_place(is_put ? node->puts : node->reads);
    if (!waiting)
        return;
    *waiting = (struct waiting){
        .client = happening->client, .operation = happening->operation, .used = true};
    if (is_put) {
        struct model_entry command = {
            .kind = RAFT_COMMAND, .key = operation->key, .value = operation->value};
        waiting->id = node->raft.terms.last_index + 1;
        waiting->term = node->raft.hard_state.term;
        node_step_with(cluster, node, (struct raft_event){.type = RAFT_ON_PROPOSE, .count = 1},
                       NULL, &command);
    } else {
        waiting->id = ++cluster->names;
        node_step(cluster, node, (struct raft_event){.type = RAFT_ON_READ, .read = waiting->id},
                  NULL);
    }
    if (cluster->update.outcome != RAFT_DONE) {
        waiting->used = false;
        client_send_answer(cluster, happening->client, happening->operation, OPERATION_REFUSED, 0);
    }
    node_answer_reads(cluster, node);
}
