/* A leader's own entries, and what is committed: paper 5.3, 5.4.2. */
#include "raft_private.h"

#include "quorum.h"

#include <assert.h>

bool raft_has_committed_own_term(const struct raft *raft)
{
    return raft->role == RAFT_LEADER && raft->commit_index >= raft->term_first_index;
}

void append_own(struct raft *raft, enum raft_kind kind, uint32_t count, struct raft_update *update)
{
    assert(raft->role == RAFT_LEADER && update->append.count == 0);
    update->append = (struct raft_append){
        .kind = kind,
        .first_index = raft->terms.last_index + 1,
        .count = count,
        .term = raft->hard_state.term,
    };
    terms_append(&raft->terms, raft->hard_state.term, count);
}

void raft_on_propose(struct raft *raft, const struct raft_event *event, struct raft_update *update)
{
    if (raft->role != RAFT_LEADER)
        update->outcome = RAFT_NOT_LEADER;
    else if (raft->transfer_to)
        update->outcome = RAFT_BUSY;
    else
        append_own(raft, RAFT_COMMAND, event->count, update);
}

/* A leader that is not in the committed configuration has led to the end of its own removal. */
static void leave_if_removed(struct raft *raft, struct raft_update *update)
{
    if (raft->configuration.index <= raft->commit_index && !raft_is_electable(raft))
        become_follower(raft, raft->hard_state.term, 0, update);
}

void commit_advance(struct raft *raft, struct raft_update *update)
{
    uint64_t reached[RAFT_MEMBERS_MAX];
    uint32_t voters = 0;
    if (raft->role != RAFT_LEADER)
        return;
    for (uint32_t i = 0; i < raft->configuration.members_count; i++)
        if (raft->configuration.members[i].voter)
            reached[voters++] = raft->configuration.members[i].number == raft->self
                                    ? raft->persisted_index
                                    : raft->progress[i].match;
    uint64_t index = voters ? quorum_index(reached, voters) : 0;
    if (index < raft->term_first_index || index <= raft->commit_index)
        return;
    raft->commit_index = index;
    round_close(raft, update); /* who had yet to answer may be no member any more */
    round_open(raft, update);
    leave_if_removed(raft, update);
}

void commit_learn(struct raft *raft, uint64_t commit_index)
{
    if (commit_index > raft->verified_index)
        commit_index = raft->verified_index;
    if (commit_index > raft->commit_index)
        raft->commit_index = commit_index;
}
