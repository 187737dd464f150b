/* What the leader has for its members, and what it learns from their replies: paper 5.3. */
#include "raft_private.h"

enum raft_want raft_wants(const struct raft *raft, uint64_t member,
                          struct raft_message *ret_message)
{
    const struct progress *progress = raft_progress(raft, member);
    if (raft->role != RAFT_LEADER || !progress || member == raft->self)
        return RAFT_WANT_NOTHING;
    if (!terms_knows(&raft->terms, progress->next - 1))
        return RAFT_WANT_SNAPSHOT;
    uint64_t left = raft->terms.last_index - (progress->next - 1);
    uint64_t commit_known =
        raft->commit_index < progress->match ? raft->commit_index : progress->match;
    if (!progress_may_send(progress) ||
        (progress->state == PROGRESS_REPLICATE && !left && progress->commit_sent >= commit_known))
        return RAFT_WANT_NOTHING;
    *ret_message = (struct raft_message){
        .type = RAFT_APPEND,
        .from = raft->self,
        .to = member,
        .term = raft->hard_state.term,
        .index = progress->next - 1,
        .log_term = terms_at(&raft->terms, progress->next - 1),
        .commit = raft->commit_index,
        .count = left < UINT32_MAX ? (uint32_t)left : UINT32_MAX,
    };
    return RAFT_WANT_ENTRIES;
}

void raft_on_sent(struct raft *raft, const struct raft_event *event, struct raft_update *update)
{
    struct progress *progress = members_progress(raft, event->member);
    (void)update;
    if (raft->role != RAFT_LEADER || !progress)
        return;
    progress_on_sent(progress, progress->next - 1 + event->count, event->count);
    progress->commit_sent = raft->commit_index;
}

void raft_on_append_reply(struct raft *raft, const struct raft_event *event,
                          struct raft_update *update)
{
    const struct raft_message *message = event->message;
    struct progress *progress = members_progress(raft, message->from);
    if (raft->role != RAFT_LEADER || !progress || message->index > raft->terms.last_index) {
        update->outcome = RAFT_IGNORED;
        return;
    }
    progress->silence_ms = 0;
    if (!message->ok) {
        (void)progress_on_reject(progress, message->rejected,
                                 terms_agreeable(&raft->terms, message->index, message->log_term));
        return;
    }
    if (!progress_on_match(progress, message->index))
        return;
    commit_advance(raft, update);
    if (raft->role == RAFT_LEADER && raft->transfer_to == message->from)
        transfer_now(raft, update);
}

/* A member that knows less than it had acknowledged has restarted: what was on its way is lost. */
void raft_on_heartbeat_reply(struct raft *raft, const struct raft_event *event,
                             struct raft_update *update)
{
    const struct raft_message *message = event->message;
    struct progress *progress = members_progress(raft, message->from);
    if (raft->role != RAFT_LEADER || !progress || message->round > raft->round) {
        update->outcome = RAFT_IGNORED;
        return;
    }
    progress->silence_ms = 0;
    if (message->round > progress->round)
        progress->round = message->round;
    if (progress->state == PROGRESS_REPLICATE && message->index < progress->match)
        progress_probe(progress);
    round_close(raft, update);
    round_open(raft, update);
}

void raft_on_snapshot_sent(struct raft *raft, const struct raft_event *event,
                           struct raft_update *update)
{
    struct progress *progress = members_progress(raft, event->member);
    (void)update;
    if (raft->role != RAFT_LEADER || !progress)
        return;
    progress_probe(progress);
    if (event->ok && event->index >= progress->next && event->index <= raft->terms.last_index)
        progress->next = event->index + 1;
}

void raft_on_unreachable(struct raft *raft, const struct raft_event *event,
                         struct raft_update *update)
{
    struct progress *progress = members_progress(raft, event->member);
    (void)update;
    if (raft->role == RAFT_LEADER && progress && progress->state == PROGRESS_REPLICATE)
        progress_probe(progress);
}
