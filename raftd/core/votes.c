/* Elections: paper 5.2 and 5.4.1, with pre-votes (thesis 9.6) and without disturbance by servers
 * that hear nobody (thesis 4.2.3). */
#include "raft_private.h"

static void ask_for_votes(struct raft *raft, enum raft_message_type type, uint64_t term,
                          struct raft_update *update)
{
    for (uint32_t i = 0; i < raft->configuration.members_count; i++) {
        const struct raft_member *member = &raft->configuration.members[i];
        if (!member->voter || member->number == raft->self)
            continue;
        struct raft_message *message = message_add(raft, update, type, member->number);
        message->term = term;
        message->index = raft->terms.last_index;
        message->log_term = terms_last(&raft->terms);
        message->transfer = raft->transfer;
    }
}

static void begin_candidacy(struct raft *raft, enum raft_role role, struct raft_update *update)
{
    raft->role = role;
    raft->leader = 0;
    raft->silence_ms = 0;
    raft->patience_ms = raft->timing.election_ms + raft->random % raft->timing.election_ms;
    raft->verified_index = raft->acknowledged_index = 0;
    raft->owes_acknowledgement = false;
    update->role_changed = true;
    for (uint32_t i = 0; i < raft->configuration.members_count; i++)
        raft->progress[i].vote = VOTE_NONE;
}

/* A new term with the own vote, which is durable before the others are asked (raft.h). */
static void campaign(struct raft *raft, struct raft_update *update)
{
    begin_candidacy(raft, RAFT_CANDIDATE, update);
    raft->hard_state = (struct raft_hard_state){raft->hard_state.term + 1, raft->self};
    update->hard_state_changed = true;
    if (raft_is_only_voter(raft))
        become_leader(raft, update);
    else
        ask_for_votes(raft, RAFT_VOTE, raft->hard_state.term, update);
}

void pre_campaign(struct raft *raft, struct raft_update *update)
{
    raft->transfer = false;
    if (raft_is_only_voter(raft)) {
        campaign(raft, update);
        return;
    }
    begin_candidacy(raft, RAFT_PRE_CANDIDATE, update);
    ask_for_votes(raft, RAFT_PREVOTE, raft->hard_state.term + 1, update);
}

static bool granted_vote(const struct raft *raft, uint32_t place)
{
    return raft->progress[place].vote == VOTE_GRANTED;
}

static bool may_yet_grant_vote(const struct raft *raft, uint32_t place)
{
    return raft->progress[place].vote != VOTE_REFUSED;
}

static void count_votes(struct raft *raft, struct raft_update *update)
{
    if (members_have_quorum(raft, granted_vote)) {
        if (raft->role == RAFT_PRE_CANDIDATE)
            campaign(raft, update);
        else
            become_leader(raft, update);
    } else if (!members_have_quorum(raft, may_yet_grant_vote)) {
        become_follower(raft, raft->hard_state.term, 0, update);
    }
}

/* A follower that hears its leader, and a leader that hears a quorum, want no election: a server
 * that was removed or cut off cannot disturb them. */
bool raft_is_content(const struct raft *raft)
{
    return raft->role == RAFT_LEADER ||
           (raft->leader && raft->silence_ms < raft->timing.election_ms);
}

static bool is_log_as_new(const struct raft *raft, const struct raft_message *message)
{
    uint64_t last_term = terms_last(&raft->terms);
    return message->log_term > last_term ||
           (message->log_term == last_term && message->index >= raft->terms.last_index);
}

static bool vote_is_due(const struct raft *raft, const struct raft_message *message)
{
    bool is_free =
        raft->hard_state.vote == message->from || (raft->hard_state.vote == 0 && raft->leader == 0);
    return is_free && is_log_as_new(raft, message);
}

void raft_on_prevote(struct raft *raft, const struct raft_event *event, struct raft_update *update)
{
    const struct raft_message *message = event->message;
    bool ok = message->term > raft->hard_state.term && !raft_is_content(raft) &&
              is_log_as_new(raft, message);
    struct raft_message *reply = message_add(raft, update, RAFT_PREVOTE_REPLY, message->from);
    reply->ok = ok;
    reply->term = ok ? message->term : raft->hard_state.term;
}

void raft_on_vote(struct raft *raft, const struct raft_event *event, struct raft_update *update)
{
    const struct raft_message *message = event->message;
    struct raft_message *reply = message_add(raft, update, RAFT_VOTE_REPLY, message->from);
    reply->ok = vote_is_due(raft, message);
    if (!reply->ok)
        return;
    raft->silence_ms = 0;
    update->hard_state_changed =
        update->hard_state_changed || raft->hard_state.vote != message->from;
    raft->hard_state.vote = message->from;
}

void raft_on_vote_reply(struct raft *raft, const struct raft_event *event,
                        struct raft_update *update)
{
    const struct raft_message *message = event->message;
    bool is_pre = message->type == RAFT_PREVOTE_REPLY;
    bool is_mine = is_pre ? raft->role == RAFT_PRE_CANDIDATE &&
                                (!message->ok || message->term == raft->hard_state.term + 1)
                          : raft->role == RAFT_CANDIDATE;
    struct progress *progress = members_progress(raft, message->from);
    if (!is_mine || !progress) {
        update->outcome = RAFT_IGNORED;
        return;
    }
    progress->vote = message->ok ? VOTE_GRANTED : VOTE_REFUSED;
    count_votes(raft, update);
}

void raft_on_timeout_now(struct raft *raft, const struct raft_event *event,
                         struct raft_update *update)
{
    (void)event;
    if (!raft_is_electable(raft) || raft->role == RAFT_LEADER) {
        update->outcome = RAFT_IGNORED;
        return;
    }
    raft->transfer = true;
    campaign(raft, update);
}
