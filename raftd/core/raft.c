/* Rules kept here, each at the function that keeps it:
 *  - a term's vote is durable before anything depends on it (on_hard_state);
 *  - a leader counts itself only for what it has persisted (commit_advance; invariant 2);
 *  - only entries of the own term are committed by counting (commit_advance; paper 5.4.2, figure
 * 8);
 *  - a no-op opens each term, so that this happens soon (become_leader; thesis 6.4);
 *  - no read before that no-op is committed (on_read, reads_release);
 *  - a configuration counts from its append on (on_propose_members; paper 6, thesis 4.1). */
#include "raft.h"

#include "quorum.h"

#include <assert.h>
#include <stddef.h>

static const struct raft_member *member_of(const struct raft_configuration *configuration,
                                           uint64_t number)
{
    for (uint32_t i = 0; i < configuration->members_count; i++)
        if (configuration->members[i].number == number)
            return &configuration->members[i];
    return NULL;
}

static uint32_t voters_of(const struct raft_configuration *configuration)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < configuration->members_count; i++)
        count += configuration->members[i].voter;
    return count;
}

static bool is_only_voter(const struct raft *raft)
{
    const struct raft_member *self = member_of(&raft->configuration, raft->self);
    return self && self->voter && voters_of(&raft->configuration) == 1;
}

bool raft_has_committed_own_term(const struct raft *raft)
{
    return raft->role == RAFT_LEADER && raft->commit_index >= raft->term_first_index;
}

/* ---- appending ---- */

static void append(struct raft *raft, enum raft_kind kind, uint32_t count,
                   struct raft_update *update)
{
    assert(raft->role == RAFT_LEADER && update->append.count == 0);
    update->append = (struct raft_append){
        .kind = kind,
        .first_index = raft->last_index + 1,
        .count = count,
        .term = raft->hard_state.term,
    };
    raft->last_index += count;
    raft->last_term = raft->hard_state.term;
}

/* ---- committing and reading ---- */

/* With the commit index in the own term, a single voter is its own majority for leadership too: no
 * round is needed. */
static void reads_release(struct raft *raft, struct raft_update *update)
{
    if (!raft_has_committed_own_term(raft))
        return;
    for (uint32_t i = 0; i < raft->reads_count; i++)
        update->reads[i] = raft->reads[i];
    update->reads_count = raft->reads_count;
    update->read_index = raft->commit_index;
    raft->reads_count = 0;
}

static void commit_advance(struct raft *raft, struct raft_update *update)
{
    uint64_t reached[RAFT_MEMBERS_MAX];
    uint32_t voters = 0;
    if (raft->role != RAFT_LEADER)
        return;
    for (uint32_t i = 0; i < raft->configuration.members_count; i++)
        if (raft->configuration.members[i].voter)
            reached[voters++] =
                raft->configuration.members[i].number == raft->self ? raft->persisted_index : 0;
    uint64_t index = voters ? quorum_index(reached, voters) : 0;
    if (index >= raft->term_first_index && index > raft->commit_index) {
        raft->commit_index = index;
        reads_release(raft, update);
    }
}

/* ---- roles ---- */

static void become_leader(struct raft *raft, struct raft_update *update)
{
    raft->role = RAFT_LEADER;
    raft->leader = raft->self;
    update->role_changed = true;
    append(raft, RAFT_NOOP, 1, update);
    raft->term_first_index = update->append.first_index;
}

/* A new term with the own vote. It counts when it is durable. */
static void campaign(struct raft *raft, struct raft_update *update)
{
    raft->role = RAFT_CANDIDATE;
    raft->leader = 0;
    raft->hard_state = (struct raft_hard_state){raft->hard_state.term + 1, raft->self};
    update->hard_state_changed = true;
    update->role_changed = true;
}

/* ---- events ---- */

/* A single voter need not wait for silence: nobody else can lead. */
static void on_tick(struct raft *raft, const struct raft_event *event, struct raft_update *update)
{
    (void)event;
    if (raft->role == RAFT_FOLLOWER && is_only_voter(raft))
        campaign(raft, update);
}

static void on_hard_state(struct raft *raft, const struct raft_event *event,
                          struct raft_update *update)
{
    if (event->term != raft->hard_state.term)
        return; /* an older one: overtaken */
    raft->hard_state_durable = raft->hard_state;
    if (raft->role == RAFT_CANDIDATE && is_only_voter(raft))
        become_leader(raft, update);
}

static void on_persisted(struct raft *raft, const struct raft_event *event,
                         struct raft_update *update)
{
    assert(event->index <= raft->last_index);
    if (event->index > raft->persisted_index)
        raft->persisted_index = event->index;
    commit_advance(raft, update);
}

static void on_propose(struct raft *raft, const struct raft_event *event,
                       struct raft_update *update)
{
    if (raft->role != RAFT_LEADER)
        update->outcome = RAFT_NOT_LEADER;
    else
        append(raft, RAFT_COMMAND, event->count, update);
}

/* One change at a time, and none before the own term has a commit: else two majorities could be
 * made that share no member. */
static void on_propose_members(struct raft *raft, const struct raft_event *event,
                               struct raft_update *update)
{
    assert(event->configuration->members_count <= RAFT_MEMBERS_MAX);
    if (raft->role != RAFT_LEADER) {
        update->outcome = RAFT_NOT_LEADER;
    } else if (raft->configuration.index > raft->commit_index ||
               !raft_has_committed_own_term(raft)) {
        update->outcome = RAFT_NOT_READY;
    } else {
        append(raft, RAFT_CONFIGURATION, 1, update);
        raft->configuration = *event->configuration;
        raft->configuration.index = update->append.first_index;
    }
}

static void on_read(struct raft *raft, const struct raft_event *event, struct raft_update *update)
{
    if (raft->role != RAFT_LEADER) {
        update->outcome = RAFT_NOT_LEADER;
    } else if (raft->reads_count == RAFT_READS_MAX) {
        update->outcome = RAFT_BUSY;
    } else {
        raft->reads[raft->reads_count++] = event->read;
        reads_release(raft, update);
    }
}

typedef void raft_handler(struct raft *raft, const struct raft_event *event,
                          struct raft_update *update);

static raft_handler *const handlers[] = {
    [RAFT_ON_TICK] = on_tick,
    [RAFT_ON_HARD_STATE] = on_hard_state,
    [RAFT_ON_PERSISTED] = on_persisted,
    [RAFT_ON_PROPOSE] = on_propose,
    [RAFT_ON_PROPOSE_MEMBERS] = on_propose_members,
    [RAFT_ON_READ] = on_read,
};

void raft_step(struct raft *raft, const struct raft_event *event, struct raft_update *update)
{
    update->outcome = RAFT_DONE;
    update->hard_state_changed = false;
    update->append.count = 0;
    update->reads_count = 0;
    update->read_index = 0;
    update->role_changed = false;
    handlers[event->type](raft, event, update);
    update->commit_index = raft->commit_index;
}

void raft_init(struct raft *raft, const struct raft_start *start)
{
    assert(start->commit_index <= start->last_index);
    *raft = (struct raft){
        .self = start->self,
        .hard_state = start->hard_state,
        .hard_state_durable = start->hard_state,
        .role = RAFT_FOLLOWER,
        .last_index = start->last_index,
        .last_term = start->last_term,
        .persisted_index = start->last_index,
        .commit_index = start->commit_index,
        .configuration = start->configuration,
    };
}
