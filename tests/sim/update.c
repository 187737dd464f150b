/* A step of a node: the core's update is carried out in the order of raft.h. */
#include "cluster_private.h"

#include <assert.h>
#include <stdlib.h>

void node_answer_reads(struct cluster *cluster, struct node *node)
{
    for (uint32_t i = 0; i < WAITING_MAX; i++) {
        struct waiting *read = &node->reads[i];
        if (!read->used || !read->index || read->index > node->store.applied_index)
            continue;
        read->used = false;
        cluster->result->reads++;
        uint32_t key = cluster->history.operations[read->operation].key;
        client_send_answer(cluster, read->client, read->operation, OPERATION_DONE,
                           node->store.values[key]);
    }
}

static void apply(struct cluster *cluster, struct node *node, uint64_t apply_index)
{
    while (node->store.applied_index < apply_index) {
        uint64_t index = node->store.applied_index + 1;
        const struct model_entry *entry = model_log_at(&node->log, index);
        node_crash_point(cluster, node);
        model_store_apply(&node->store, index, entry);
        check_applied(cluster, node);
        for (uint32_t i = 0; i < WAITING_MAX; i++) {
            struct waiting *put = &node->puts[i];
            if (!put->used || put->id != index)
                continue;
            put->used = false;
            client_send_answer(cluster, put->client, put->operation,
                               put->term == entry->term ? OPERATION_DONE : OPERATION_REFUSED, 0);
        }
    }
    node_answer_reads(cluster, node);
}

static void append_of(struct cluster *cluster, struct node *node, const struct raft_append *append,
                      uint64_t truncate_from, const struct packet *packet,
                      const struct model_entry *own)
{
    struct model_entry entries[ENTRIES_OF_A_MESSAGE_MAX];
    assert(append->count <= ENTRIES_OF_A_MESSAGE_MAX);
    for (uint32_t i = 0; i < append->count; i++)
        entries[i] = packet ? packet->entries[append->skip + i] : *own;
    if (truncate_from)
        model_log_truncate(&node->log, truncate_from);
    for (uint32_t i = 0; i < append->count; i++)
        model_log_append(&node->log, &entries[i]);
    node_crash_point(cluster, node);
    disk_write(cluster, node, truncate_from, append->first_index, entries, append->count);
}

static const struct raft_configuration *keep_configuration(struct cluster *cluster,
                                                           const struct raft_configuration *one)
{
    cluster->configurations =
        realloc(cluster->configurations,
                (cluster->configurations_count + 1) * sizeof(*cluster->configurations));
    struct raft_configuration *copy = malloc(sizeof(*copy));
    assert(cluster->configurations && copy);
    *copy = *one;
    cluster->configurations[cluster->configurations_count++] = copy;
    return copy;
}

/* Own entries: the command that was proposed, a no-op, or the configuration now in force. */
static struct model_entry own_entry(struct cluster *cluster, const struct node *node,
                                    const struct raft_append *append,
                                    const struct model_entry *command)
{
    struct model_entry entry = {.term = append->term, .kind = append->kind};
    if (append->kind == RAFT_COMMAND) {
        entry = *command;
        entry.term = append->term;
    } else if (append->kind == RAFT_CONFIGURATION) {
        entry.configuration = keep_configuration(cluster, &node->raft.configuration);
    }
    return entry;
}

static void void_reads(struct cluster *cluster, struct node *node)
{
    for (uint32_t i = 0; i < WAITING_MAX; i++)
        if (node->reads[i].used && !node->reads[i].index) {
            node->reads[i].used = false;
            client_send_answer(cluster, node->reads[i].client, node->reads[i].operation,
                               OPERATION_REFUSED, 0);
        }
}

/* The order of raft.h. */
static void carry_out(struct cluster *cluster, struct node *node, const struct packet *packet,
                      const struct model_entry *command, uint64_t commit_before)
{
    struct raft_update copy = cluster->update;
    if (copy.role_changed)
        node_tell(cluster, node, "changes role");
    if (copy.configuration_changed)
        node_tell(cluster, node, "changes configuration");
    if (node->raft.commit_index != commit_before)
        node_tell(cluster, node, "commits");
    if (copy.hard_state_changed) {
        node_crash_point(cluster, node);
        if (node->raft.hard_state.term < node->hard_state.term)
            cluster_violate(cluster, "node %llu goes back in term",
                            (unsigned long long)node->number);
        node->hard_state = node->raft.hard_state;
        node_crash_point(cluster, node);
    }
    if (copy.append.count || copy.truncate_from) {
        struct model_entry own = {0};
        bool is_own = copy.append.term != 0;
        if (is_own)
            own = own_entry(cluster, node, &copy.append, command);
        append_of(cluster, node, &copy.append, copy.truncate_from, is_own ? NULL : packet, &own);
    }
    if (node->raft.role == RAFT_LEADER && copy.role_changed)
        check_leader(cluster, node);
    if (copy.role_changed && node->raft.role != RAFT_LEADER)
        void_reads(cluster, node);
    check_commit(cluster, node, commit_before);
    for (uint32_t i = 0; i < copy.messages_count; i++) {
        node_crash_point(cluster, node);
        check_message(cluster, node, &copy.messages[i]);
        network_send(cluster, node, packet_new(&copy.messages[i]));
    }
    for (uint32_t i = 0; i < copy.reads_count; i++)
        for (uint32_t j = 0; j < WAITING_MAX; j++)
            if (node->reads[j].used && node->reads[j].id == copy.reads[i])
                node->reads[j].index = copy.read_index;
    apply(cluster, node, copy.apply_index);
}

void node_step_with(struct cluster *cluster, struct node *node, struct raft_event event,
                    const struct packet *packet, const struct model_entry *command)
{
    uint64_t commit_before = node->raft.commit_index;
    event.random = chance_next(&cluster->chance);
    raft_step(&node->raft, &event, &cluster->update);
    cluster_trace(cluster, (uint64_t)event.type << 60 ^ node->raft.hard_state.term << 40 ^
                               node->raft.commit_index << 20 ^ node->raft.terms.last_index << 4 ^
                               (uint64_t)node->raft.role);
    carry_out(cluster, node, packet, command, commit_before);
}

void node_step(struct cluster *cluster, struct node *node, struct raft_event event,
               const struct packet *packet)
{
    node_step_with(cluster, node, event, packet, NULL);
}
