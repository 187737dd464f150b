/* A leader's messages, at a follower: paper 5.3. */
#include "raft_private.h"

/* What a follower acknowledges is durable. */
void follower_acknowledge(struct raft *raft, struct raft_update *update)
{
    uint64_t index =
        raft->verified_index < raft->persisted_index ? raft->verified_index : raft->persisted_index;
    if (raft->role != RAFT_FOLLOWER || !raft->leader)
        return;
    if (index <= raft->acknowledged_index && !raft->owes_acknowledgement)
        return;
    raft->acknowledged_index = index;
    raft->owes_acknowledgement = false;
    struct raft_message *reply = message_add(raft, update, RAFT_APPEND_REPLY, raft->leader);
    reply->ok = true;
    reply->index = index;
}

static void reject(struct raft *raft, const struct raft_message *message,
                   struct raft_update *update)
{
    struct raft_message *reply = message_add(raft, update, RAFT_APPEND_REPLY, message->from);
    reply->rejected = message->index;
    reply->index = terms_agreeable(&raft->terms, message->index, message->log_term);
    reply->log_term = terms_at(&raft->terms, reply->index);
}

/* How many of the entries are in the log already. */
static uint32_t entries_known(const struct raft *raft, const struct raft_event *event)
{
    uint32_t known = 0;
    while (known < event->message->count) {
        uint64_t index = event->message->index + known + 1;
        if (index > raft->terms.last_index ||
            (index >= raft->terms.base_index &&
             terms_at(&raft->terms, index) != event->entries[known].term))
            break;
        known++;
    }
    return known;
}

/* Terms of a log never go down, and none is above its leader's. */
static bool entries_make_sense(const struct raft_event *event)
{
    uint64_t term = event->message->log_term;
    for (uint32_t i = 0; i < event->message->count; i++) {
        if (event->entries[i].term < term || event->entries[i].term > event->message->term)
            return false;
        term = event->entries[i].term;
    }
    return event->message->index <= UINT64_MAX - event->message->count;
}

/* False: they contradict what is committed, which no correct leader does. */
static bool take_entries(struct raft *raft, const struct raft_event *event,
                         struct raft_update *update)
{
    uint32_t known = entries_known(raft, event);
    uint64_t first = event->message->index + known + 1;
    if (known == event->message->count)
        return true;
    if (first <= raft->commit_index || !terms_have_room(&raft->terms, raft->commit_index))
        return false;
    if (first <= raft->terms.last_index) {
        update->truncate_from = first;
        terms_truncate(&raft->terms, first);
        if (raft->persisted_index >= first)
            raft->persisted_index = first - 1;
        configuration_roll_back(raft, first, update);
    }
    update->append = (struct raft_append){
        .first_index = first, .count = event->message->count - known, .skip = known};
    for (uint32_t i = known; i < event->message->count; i++) {
        terms_append(&raft->terms, event->entries[i].term, 1);
        if (event->entries[i].configuration)
            configuration_append(raft, event->entries[i].configuration,
                                 event->message->index + i + 1, update);
    }
    return true;
}

static bool fits_log(const struct raft *raft, const struct raft_message *message)
{
    if (message->index <= raft->commit_index)
        return true; /* committed: the same in every log */
    return terms_knows(&raft->terms, message->index) &&
           terms_at(&raft->terms, message->index) == message->log_term;
}

void raft_on_append(struct raft *raft, const struct raft_event *event, struct raft_update *update)
{
    const struct raft_message *message = event->message;
    if (!entries_make_sense(event)) {
        update->outcome = RAFT_REFUSED;
        return;
    }
    if (!fits_log(raft, message)) {
        reject(raft, message, update);
        return;
    }
    if (!take_entries(raft, event, update)) {
        update->outcome = RAFT_REFUSED;
        return;
    }
    if (message->index + message->count > raft->verified_index)
        raft->verified_index = message->index + message->count;
    commit_learn(raft, message->commit);
    raft->owes_acknowledgement =
        raft->owes_acknowledgement || raft->verified_index <= raft->persisted_index;
    follower_acknowledge(raft, update);
}

void raft_on_heartbeat(struct raft *raft, const struct raft_event *event,
                       struct raft_update *update)
{
    commit_learn(raft, event->message->commit);
    struct raft_message *reply =
        message_add(raft, update, RAFT_HEARTBEAT_REPLY, event->message->from);
    reply->round = event->message->round;
    reply->index = raft->verified_index;
}

/* The caller takes what the snapshot is made of; here the leader was heard. */
void raft_on_snapshot(struct raft *raft, const struct raft_event *event, struct raft_update *update)
{
    if (event->message->index > raft->commit_index)
        return;
    update->outcome = RAFT_IGNORED;
    if (raft->verified_index < event->message->index) /* committed: in every leader's log */
        raft->verified_index = event->message->index;
    raft->owes_acknowledgement = true;
    follower_acknowledge(raft, update);
}
