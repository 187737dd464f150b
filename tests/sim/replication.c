/* What the leader has for its members. */
#include "cluster_private.h"

static void send_snapshot(struct cluster *cluster, struct node *node, struct node *peer)
{
    uint32_t place = (uint32_t)(peer - cluster->nodes);
    struct raft_message message = {.type = RAFT_SNAPSHOT,
                                   .from = node->number,
                                   .to = peer->number,
                                   .term = node->raft.hard_state.term,
                                   .index = node->store.applied_index,
                                   .log_term = node->store.applied_term};
    if (node->stream_is_open[place] || node->store.applied_index < node->raft.terms.base_index)
        return;
    struct packet *packet = packet_new(&message);
    packet->store = node->store;
    node->stream_is_open[place] = true;
    cluster->result->snapshots++;
    timeline_add(cluster, chance_between(&cluster->chance, 20, 400),
                 (struct happening){.kind = STREAM_END,
                                    .node = (uint32_t)(node - cluster->nodes),
                                    .incarnation = node->incarnation,
                                    .peer = place,
                                    .index = message.index});
    network_send(cluster, node, packet);
}

static bool send_entries(struct cluster *cluster, struct node *node, struct raft_message message)
{
    uint32_t count_max =
        (uint32_t)chance_between(&cluster->chance, 1, cluster->entries_of_a_message_max);
    if (message.count > count_max)
        message.count = count_max;
    struct packet *packet = packet_new(&message);
    for (uint32_t i = 0; i < message.count; i++)
        packet->entries[i] = *model_log_at(&node->log, message.index + 1 + i);
    uint64_t member = message.to;
    check_message(cluster, node, &message);
    node_crash_point(cluster, node);
    network_send(cluster, node, packet);
    node_step(cluster, node,
              (struct raft_event){.type = RAFT_ON_SENT, .member = member, .count = message.count},
              NULL);
    return message.count > 0;
}

void node_replicate(struct cluster *cluster, struct node *node)
{
    for (uint32_t i = 0; i < NODES; i++) {
        struct node *peer = &cluster->nodes[i];
        struct raft_message message;
        for (unsigned sent = 0; sent < 4 && !chance_is(&cluster->chance, 100); sent++) {
            enum raft_want want = raft_wants(&node->raft, peer->number, &message);
            if (want == RAFT_WANT_SNAPSHOT)
                send_snapshot(cluster, node, peer);
            if (want != RAFT_WANT_ENTRIES || !send_entries(cluster, node, message))
                break;
        }
    }
}
