/* Following and leading, and how time ends both: a follower that hears no leader stands for
 * election (votes.c), a leader that a quorum or its own disk does not answer steps down. */
#include "raft_private.h"

#include <assert.h>

void become_follower(struct raft *raft, uint64_t term, uint64_t leader, struct raft_update *update)
{
    assert(term >= raft->hard_state.term);
    if (term > raft->hard_state.term) {
        raft->hard_state = (struct raft_hard_state){.term = term};
        update->hard_state_changed = true;
        update->role_changed = true;
    }
    if (raft->role != RAFT_FOLLOWER || raft->leader != leader || update->role_changed) {
        update->role_changed = true;
        raft->verified_index = raft->acknowledged_index = 0;
        raft->owes_acknowledgement = false;
    }
    raft->role = RAFT_FOLLOWER;
    raft->leader = leader;
    raft->silence_ms = 0;
    raft->patience_ms = raft->timing.election_ms + raft->random % raft->timing.election_ms;
    raft->transfer = false;
    raft->transfer_to = 0;
    raft->round_is_open = false;
    raft->reads_count = 0;
}

void become_leader(struct raft *raft, struct raft_update *update)
{
    raft->role = RAFT_LEADER;
    raft->leader = raft->self;
    raft->transfer_to = 0;
    raft->disk_ms = 0;
    raft->round_is_open = false;
    raft->reads_count = 0;
    update->role_changed = true;
    for (uint32_t i = 0; i < raft->configuration.members_count; i++) {
        raft->progress[i].member = raft->configuration.members[i].number;
        progress_reset(&raft->progress[i], raft->terms.last_index);
    }
    append_own(raft, RAFT_NOOP, 1, update);
    raft->term_first_index = update->append.first_index;
    raft->round++;
    heartbeats_send(raft, update);
}

static bool is_heard(const struct raft *raft, uint32_t place)
{
    return raft->progress[place].silence_ms < raft->timing.election_ms;
}

static void leader_tick(struct raft *raft, uint64_t elapsed_ms, struct raft_update *update)
{
    for (uint32_t i = 0; i < raft->configuration.members_count; i++)
        progress_on_tick(&raft->progress[i], elapsed_ms, raft->timing.election_ms);
    raft->transfer_ms += elapsed_ms;
    if (raft->transfer_to && raft->transfer_ms >= raft->timing.election_ms)
        raft->transfer_to = 0;
    if (!members_have_quorum(raft, is_heard) || raft->disk_ms >= raft->timing.disk_ms) {
        become_follower(raft, raft->hard_state.term, 0, update);
        return;
    }
    raft->heartbeat_ms += elapsed_ms;
    if (raft->heartbeat_ms >= raft->timing.heartbeat_ms)
        heartbeats_send(raft, update);
}

/* A single voter need not wait for silence: nobody else can lead. */
void raft_on_tick(struct raft *raft, const struct raft_event *event, struct raft_update *update)
{
    bool waits = raft->persisted_index < raft->terms.last_index;
    raft->disk_ms = waits ? raft->disk_ms + event->elapsed_ms : 0;
    if (raft->role == RAFT_LEADER) {
        leader_tick(raft, event->elapsed_ms, update);
        return;
    }
    raft->silence_ms += event->elapsed_ms;
    bool is_due =
        raft->silence_ms >= raft->patience_ms || (raft_is_only_voter(raft) && !raft->leader);
    bool may_stand = raft_is_electable(raft) && raft->disk_ms < raft->timing.disk_ms &&
                     terms_have_room(&raft->terms, raft->commit_index);
    if (is_due && may_stand)
        pre_campaign(raft, update);
}
