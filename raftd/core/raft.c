/* Rules kept in this folder, each at the function that keeps it:
 *  - one vote in a term, and only for a log at least as new (votes.c: vote_is_due; paper 5.4.1);
 *  - no vote while a leader is heard (votes.c: raft_is_content; thesis 4.2.3, 9.6), but for a
 *    transfer;
 *  - a member counts for what it has persisted, the leader itself too (commit.c: commit_advance;
 *    invariant 2);
 *  - only entries of the own term are committed by counting (commit_advance; paper 5.4.2, figure
 *    8);
 *  - a no-op opens each term, so that this happens soon (roles.c: become_leader; thesis 6.4);
 *  - no read before that no-op is committed, nor without a round of heartbeats that began after the
 *    read came (reads.c: round_open, round_close; thesis 6.4);
 *  - a configuration counts from its append on, and goes with its entry (members.c:
 *    configuration_set, configuration_roll_back; paper 6, thesis 4.1);
 *  - one change of at most one voter at a time, and none before the own term has a commit
 *    (members.c: raft_on_propose_members);
 *  - nothing committed is ever truncated (follower.c: take_entries; invariant 6);
 *  - a leader that a quorum does not answer, or whose disk does not, steps down (roles.c:
 *    leader_tick). */
#include "raft_private.h"

#include <assert.h>

static raft_handler *const handlers[] = {
    [RAFT_ON_TICK] = raft_on_tick,
    [RAFT_ON_PERSISTED] = raft_on_persisted,
    [RAFT_ON_PROPOSE] = raft_on_propose,
    [RAFT_ON_PROPOSE_MEMBERS] = raft_on_propose_members,
    [RAFT_ON_READ] = raft_on_read,
    [RAFT_ON_MESSAGE] = raft_on_message,
    [RAFT_ON_SENT] = raft_on_sent,
    [RAFT_ON_SNAPSHOT_SENT] = raft_on_snapshot_sent,
    [RAFT_ON_INSTALLED] = raft_on_installed,
    [RAFT_ON_STORED] = raft_on_stored,
    [RAFT_ON_CUT] = raft_on_cut,
    [RAFT_ON_TRANSFER] = raft_on_transfer,
    [RAFT_ON_UNREACHABLE] = raft_on_unreachable,
};

void raft_step(struct raft *raft, const struct raft_event *event, struct raft_update *update)
{
    update->outcome = RAFT_DONE;
    update->hard_state_changed = false;
    update->truncate_from = 0;
    update->append.count = 0;
    update->configuration_changed = false;
    update->messages_count = 0;
    update->reads_count = 0;
    update->read_index = 0;
    update->role_changed = false;
    raft->random = event->random;
    handlers[event->type](raft, event, update);
    update->apply_index =
        raft->commit_index < raft->persisted_index ? raft->commit_index : raft->persisted_index;
}

void raft_init(struct raft *raft, const struct raft_start *start)
{
    assert(start->commit_index <= start->terms.last_index);
    *raft = (struct raft){
        .self = start->self,
        .timing = start->timing,
        .hard_state = start->hard_state,
        .role = RAFT_FOLLOWER,
        .terms = start->terms,
        .persisted_index = start->terms.last_index,
        .commit_index = start->commit_index,
        .configuration = start->configuration,
        .configuration_before = start->configuration_before,
        .patience_ms = start->timing.election_ms + start->random % start->timing.election_ms,
    };
}
