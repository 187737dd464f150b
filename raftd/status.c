/* What raftd says of itself to /status, /raft/config and /raft/stats. */
#include "raftd.h"

#include <stdio.h>
#include <string.h>

static const uint8_t no_cluster[16];

static void format_cluster_id(const uint8_t id[16], char into[33])
{
    into[0] = '\0';
    for (int i = 0; i < 16 && memcmp(id, no_cluster, sizeof(no_cluster)); i++)
        sprintf(into + i * 2, "%02x", id[i]);
}

void raftd_fill_hint(const struct raftd *raftd, struct leader_hint *hint)
{
    const struct raft *raft = consensus_raft(raftd->consensus);
    const struct raft_server *leader = NULL;
    *hint = (struct leader_hint){""};
    if (raft->leader)
        leader = membership_server(consensus_membership(raftd->consensus), raft->leader);
    if (!leader)
        return;
    strcpy(hint->id, leader->id);
    strcpy(hint->raft_address, leader->raft_address);
    strcpy(hint->http_url, leader->http_url);
}

static void fill_log(const struct raftd *raftd, struct raft_status *status)
{
    const struct log *log = consensus_log(raftd->consensus);
    const struct hard_state *hard_state = consensus_hard_state(raftd->consensus);
    if (!log)
        return;
    status->first_log_index = log_first_index(log);
    status->last_log_index = log_last_index(log);
    status->last_log_term = log_last_term(log);
    status->log_bytes = log_bytes(log);
    status->syncs = log_syncs(log);
    status->entries_written = log_entries_written(log);
    status->last_snapshot_index = hard_state->cut_index;
    status->last_snapshot_term = hard_state->cut_term;
}

static void fill_peer(const struct raftd *raftd, uint64_t number, struct raft_peer *peer)
{
    const struct raft *raft = consensus_raft(raftd->consensus);
    const struct progress *progress = raft_progress(raft, number);
    struct peers_counters counters = peers_counters(raftd->peers, number);
    peer->connected = counters.is_connected;
    peer->round_trip_us = counters.round_trip_us;
    peer->messages_sent = counters.messages_sent;
    peer->messages_dropped = counters.messages_dropped;
    peer->entries_sent = counters.entries_sent;
    peer->connects = counters.connects;
    if (raft->role == RAFT_LEADER && progress && number != raft->self) {
        peer->match_index = progress->match;
        peer->silence_ms = progress->silence_ms;
    }
}

void raftd_fill_status(const struct raftd *raftd, struct raft_status *status)
{
    const struct raft *raft = consensus_raft(raftd->consensus);
    const struct membership *membership = consensus_membership(raftd->consensus);
    memset(status, 0, sizeof(*status));
    strcpy(status->node_id, raftd->config->node_id);
    format_cluster_id(consensus_identity(raftd->consensus)->cluster_id, status->cluster_id);
    status->state = (uint8_t)(raft->role == RAFT_PRE_CANDIDATE ? RAFT_CANDIDATE : raft->role);
    status->term = raft->hard_state.term;
    raftd_fill_hint(raftd, &status->leader);
    status->commit_index = raft->commit_index;
    fill_log(raftd, status);
    if (raftd->feed) {
        status->applied_index = feed_applied_index(raftd->feed);
        status->durable_index = feed_durable_index(raftd->feed);
        status->storaged_up = feed_is_up(raftd->feed);
    }
    status->last_contact_ms = raft->role == RAFT_LEADER ? 0 : raft->silence_ms;
    status->diverged_index = agreement_diverged_index(raftd->agreement);
    status->state_differences = agreement_differences(raftd->agreement);
    status->configuration_index = membership->index;
    status->settled = consensus_is_settled(raftd->consensus);
    status->seeks = consensus_seeks(raftd->consensus);
    status->founds = consensus_founds(raftd->consensus);
    status->servers_count = membership->count;
    memcpy(status->servers, membership->servers, sizeof(status->servers));
    for (uint32_t i = 0; i < membership->count; i++)
        fill_peer(raftd, membership->numbers[i], &status->peers[i]);
}

_Static_assert((int)RAFT_STATE_LEADER == (int)RAFT_LEADER &&
                   (int)RAFT_STATE_FOLLOWER == (int)RAFT_FOLLOWER,
               "the wire's states are the core's roles");
