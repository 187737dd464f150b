/* Messages: how they are made, and what their term means before any handler looks at them. */
#include "raft_private.h"

#include <assert.h>

struct raft_message *message_add(struct raft *raft, struct raft_update *update,
                                 enum raft_message_type type, uint64_t to)
{
    assert(update->messages_count < RAFT_MESSAGES_MAX);
    struct raft_message *message = &update->messages[update->messages_count++];
    *message = (struct raft_message){
        .type = type, .from = raft->self, .to = to, .term = raft->hard_state.term};
    return message;
}

static void heartbeat_add(struct raft *raft, uint64_t to, struct raft_update *update)
{
    struct raft_message *message = message_add(raft, update, RAFT_HEARTBEAT, to);
    message->commit = raft->commit_index;
    message->round = raft->round;
}

void heartbeats_send(struct raft *raft, struct raft_update *update)
{
    raft->heartbeat_ms = 0;
    for (uint32_t i = 0; i < raft->configuration.members_count; i++)
        if (raft->configuration.members[i].number != raft->self)
            heartbeat_add(raft, raft->configuration.members[i].number, update);
}

static const struct {
    raft_handler *handler;
    bool is_leaders; /* only a leader sends it */
} messages[] = {
    [RAFT_PREVOTE] = {raft_on_prevote, false},
    [RAFT_PREVOTE_REPLY] = {raft_on_vote_reply, false},
    [RAFT_VOTE] = {raft_on_vote, false},
    [RAFT_VOTE_REPLY] = {raft_on_vote_reply, false},
    [RAFT_APPEND] = {raft_on_append, true},
    [RAFT_APPEND_REPLY] = {raft_on_append_reply, false},
    [RAFT_HEARTBEAT] = {raft_on_heartbeat, true},
    [RAFT_HEARTBEAT_REPLY] = {raft_on_heartbeat_reply, false},
    [RAFT_SNAPSHOT] = {raft_on_snapshot, true},
    [RAFT_TIMEOUT_NOW] = {raft_on_timeout_now, true},
};

/* The term a message proves: that of a pre-vote, asked or granted, is one that might come. */
static bool proves_term(const struct raft_message *message)
{
    return message->type != RAFT_PREVOTE && !(message->type == RAFT_PREVOTE_REPLY && message->ok);
}

/* An old leader, or candidate, learns the term from the answer: else one that came back with an old
 * term and hears nothing that is new to it would wait for ever. */
static void answer_old_term(struct raft *raft, const struct raft_message *message,
                            struct raft_update *update)
{
    update->outcome = RAFT_IGNORED;
    if (messages[message->type].is_leaders)
        (void)message_add(raft, update, RAFT_APPEND_REPLY, message->from);
    else if (message->type == RAFT_VOTE)
        (void)message_add(raft, update, RAFT_VOTE_REPLY, message->from);
}

/* False: the message is dealt with. */
static bool meet_term(struct raft *raft, const struct raft_message *message,
                      struct raft_update *update)
{
    if (!proves_term(message))
        return true;
    if (message->term < raft->hard_state.term) {
        answer_old_term(raft, message, update);
        return false;
    }
    if (message->type == RAFT_VOTE && message->term > raft->hard_state.term &&
        raft_is_content(raft) && !message->transfer) {
        update->outcome = RAFT_IGNORED;
        return false;
    }
    bool is_leaders = messages[message->type].is_leaders;
    if (is_leaders && message->term == raft->hard_state.term && raft->role == RAFT_LEADER) {
        update->outcome = RAFT_REFUSED; /* a second leader of this term: no correct member's */
        return false;
    }
    if (message->term > raft->hard_state.term || is_leaders)
        become_follower(raft, message->term, is_leaders ? message->from : 0, update);
    return true;
}

void raft_on_message(struct raft *raft, const struct raft_event *event, struct raft_update *update)
{
    const struct raft_message *message = event->message;
    if (message->to != raft->self || message->from == raft->self || !message->from ||
        message->type < RAFT_PREVOTE || message->type > RAFT_TIMEOUT_NOW) {
        update->outcome = RAFT_REFUSED;
        return;
    }
    if (meet_term(raft, message, update))
        messages[message->type].handler(raft, event, update);
}
