/* What the caller's log and store tell: written, applied and durable, cut, replaced by a snapshot.
 */
#include "raft_private.h"

#include <assert.h>

void raft_on_persisted(struct raft *raft, const struct raft_event *event,
                       struct raft_update *update)
{
    if (terms_at(&raft->terms, event->index) != event->term)
        return; /* they were truncated, or cut, meanwhile */
    if (event->index <= raft->persisted_index)
        return;
    raft->persisted_index = event->index;
    raft->disk_ms = 0;
    commit_advance(raft, update);
    follower_acknowledge(raft, update);
}

void raft_on_stored(struct raft *raft, const struct raft_event *event, struct raft_update *update)
{
    (void)update;
    assert(event->index <= raft->terms.last_index);
    if (event->index > raft->commit_index)
        raft->commit_index = event->index;
}

void raft_on_cut(struct raft *raft, const struct raft_event *event, struct raft_update *update)
{
    (void)update;
    assert(event->index <= raft->commit_index && event->index <= raft->persisted_index);
    terms_cut(&raft->terms, event->index);
}

bool raft_takes_snapshot(const struct raft *raft, uint64_t index, uint64_t term)
{
    return raft->role == RAFT_FOLLOWER && index > raft->commit_index &&
           terms_at(&raft->terms, index) != term;
}

void raft_on_installed(struct raft *raft, const struct raft_event *event,
                       struct raft_update *update)
{
    assert(raft_takes_snapshot(raft, event->index, event->term));
    terms_reset(&raft->terms, event->index, event->term);
    raft->commit_index = raft->persisted_index = event->index;
    raft->verified_index = raft->leader ? event->index : 0;
    raft->configuration_before = *event->configuration;
    configuration_set(raft, event->configuration, update);
    raft->owes_acknowledgement = true;
    follower_acknowledge(raft, update);
}
