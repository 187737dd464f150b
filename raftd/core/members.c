/* Who counts. The newest configuration of the log is in force from its append on, committed or not
 * (thesis 4.1); so at most two are ever possible: it and the one it replaced. */
#include "raft_private.h"

#include "quorum.h"

#include <assert.h>
#include <stddef.h>

struct progress *members_progress(struct raft *raft, uint64_t member)
{
    for (uint32_t i = 0; i < raft->configuration.members_count; i++)
        if (raft->configuration.members[i].number == member)
            return &raft->progress[i];
    return NULL;
}

const struct progress *raft_progress(const struct raft *raft, uint64_t member)
{
    for (uint32_t i = 0; i < raft->configuration.members_count; i++)
        if (raft->configuration.members[i].number == member)
            return &raft->progress[i];
    return NULL;
}

bool raft_is_voter(const struct raft_configuration *configuration, uint64_t member)
{
    for (uint32_t i = 0; i < configuration->members_count; i++)
        if (configuration->members[i].number == member)
            return configuration->members[i].voter;
    return false;
}

static uint32_t members_voters(const struct raft_configuration *configuration)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < configuration->members_count; i++)
        count += configuration->members[i].voter;
    return count;
}

/* May lead: a learner, or a node outside the configuration, never stands for election. But one
 * whose removal is not committed yet may be the only one with the newest log (thesis 4.2.2). */
bool raft_is_electable(const struct raft *raft)
{
    return raft_is_voter(&raft->configuration, raft->self) ||
           (raft->configuration.index > raft->commit_index &&
            raft_is_voter(&raft->configuration_before, raft->self));
}

bool raft_is_only_voter(const struct raft *raft)
{
    return raft_is_voter(&raft->configuration, raft->self) &&
           members_voters(&raft->configuration) == 1;
}

static uint32_t voters_reached(const struct raft *raft,
                               bool (*is_reached)(const struct raft *raft, uint32_t place))
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < raft->configuration.members_count; i++)
        if (raft->configuration.members[i].voter)
            count += raft->configuration.members[i].number == raft->self || is_reached(raft, i);
    return count;
}

bool members_have_quorum(const struct raft *raft,
                         bool (*is_reached)(const struct raft *raft, uint32_t place))
{
    uint32_t voters = members_voters(&raft->configuration);
    return voters && voters_reached(raft, is_reached) >= quorum_of(voters);
}

/* The progress of members that stay is kept, that of new ones begins. */
void configuration_set(struct raft *raft, const struct raft_configuration *configuration,
                       struct raft_update *update)
{
    struct progress kept[RAFT_MEMBERS_MAX];
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        const struct progress *known = raft_progress(raft, configuration->members[i].number);
        kept[i] = known ? *known : (struct progress){.member = configuration->members[i].number};
        if (!known)
            progress_reset(&kept[i], raft->terms.last_index);
    }
    raft->configuration = *configuration;
    for (uint32_t i = 0; i < configuration->members_count; i++)
        raft->progress[i] = kept[i];
    update->configuration_changed = true;
}

/* The newest configuration of the log is in force, committed or not. */
void configuration_append(struct raft *raft, const struct raft_configuration *configuration,
                          uint64_t index, struct raft_update *update)
{
    struct raft_configuration placed = *configuration;
    placed.index = index;
    raft->configuration_before = raft->configuration;
    configuration_set(raft, &placed, update);
}

/* Only the newest can be truncated: the one before it was committed before it was proposed. */
void configuration_roll_back(struct raft *raft, uint64_t truncate_from, struct raft_update *update)
{
    if (raft->configuration.index >= truncate_from)
        configuration_set(raft, &raft->configuration_before, update);
}

/* Any two majorities share a member if the configurations differ in one voter (thesis 4.1). */
static uint32_t voters_changed(const struct raft_configuration *a,
                               const struct raft_configuration *b)
{
    uint32_t changed = 0;
    for (uint32_t i = 0; i < a->members_count; i++)
        changed += a->members[i].voter && !raft_is_voter(b, a->members[i].number);
    for (uint32_t i = 0; i < b->members_count; i++)
        changed += b->members[i].voter && !raft_is_voter(a, b->members[i].number);
    return changed;
}

/* One change at a time, and none before the own term has a commit: else two majorities could be
 * made that share no member. */
void raft_on_propose_members(struct raft *raft, const struct raft_event *event,
                             struct raft_update *update)
{
    const struct raft_configuration *wanted = event->configuration;
    assert(wanted->members_count <= RAFT_MEMBERS_MAX);
    if (raft->role != RAFT_LEADER) {
        update->outcome = RAFT_NOT_LEADER;
    } else if (raft->configuration.index > raft->commit_index ||
               !raft_has_committed_own_term(raft)) {
        update->outcome = RAFT_NOT_READY;
    } else if (raft->transfer_to) {
        update->outcome = RAFT_BUSY;
    } else if (voters_changed(&raft->configuration, wanted) > 1 || !members_voters(wanted)) {
        update->outcome = RAFT_REFUSED;
    } else {
        append_own(raft, RAFT_CONFIGURATION, 1, update);
        configuration_append(raft, wanted, update->append.first_index, update);
    }
}
