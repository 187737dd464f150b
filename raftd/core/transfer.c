/* Leadership handed on: thesis 3.10. */
#include "raft_private.h"

void transfer_now(struct raft *raft, struct raft_update *update)
{
    const struct progress *progress = raft_progress(raft, raft->transfer_to);
    if (progress && progress->match == raft->terms.last_index)
        (void)message_add(raft, update, RAFT_TIMEOUT_NOW, raft->transfer_to);
}

void raft_on_transfer(struct raft *raft, const struct raft_event *event, struct raft_update *update)
{
    if (raft->role != RAFT_LEADER) {
        update->outcome = RAFT_NOT_LEADER;
    } else if (raft->transfer_to) {
        update->outcome = RAFT_BUSY;
    } else if (event->member == raft->self || !raft_is_voter(&raft->configuration, event->member)) {
        update->outcome = RAFT_REFUSED;
    } else {
        raft->transfer_to = event->member;
        raft->transfer_ms = 0;
        transfer_now(raft, update);
    }
}
