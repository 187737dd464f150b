/* Rules kept here, each at the function that keeps it:
 *  - one vote in a term, and only for a log at least as new (vote_is_due; paper 5.4.1);
 *  - no vote while a leader is heard (is_content; thesis 4.2.3, 9.6), but for a transfer;
 *  - a member counts for what it has persisted, the leader itself too (commit_advance; invariant
 * 2);
 *  - only entries of the own term are committed by counting (commit_advance; paper 5.4.2, figure
 * 8);
 *  - a no-op opens each term, so that this happens soon (become_leader; thesis 6.4);
 *  - no read before that no-op is committed, nor without a round of heartbeats that began after the
 *    read came (round_open, round_close; thesis 6.4);
 *  - a configuration counts from its append on, and goes with its entry (configuration_set,
 *    configuration_roll_back; paper 6, thesis 4.1);
 *  - one change of at most one voter at a time, and none before the own term has a commit
 *    (on_propose_members);
 *  - nothing committed is ever truncated (take_entries; invariant 6);
 *  - a leader that a quorum does not answer, or whose disk does not, steps down (leader_tick). */
#include "raft.h"

#include "quorum.h"

#include <assert.h>
#include <stddef.h>

/* ---- members ---- */

static struct progress *progress_of(struct raft *raft, uint64_t member)
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

static uint32_t voters_of(const struct raft_configuration *configuration)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < configuration->members_count; i++)
        count += configuration->members[i].voter;
    return count;
}

/* May lead: a learner, or a node outside the configuration, never stands for election. But one
 * whose removal is not committed yet may be the only one with the newest log (thesis 4.2.2). */
static bool is_electable(const struct raft *raft)
{
    return raft_is_voter(&raft->configuration, raft->self) ||
           (raft->configuration.index > raft->commit_index &&
            raft_is_voter(&raft->configuration_before, raft->self));
}

static bool is_only_voter(const struct raft *raft)
{
    return raft_is_voter(&raft->configuration, raft->self) && voters_of(&raft->configuration) == 1;
}

bool raft_has_committed_own_term(const struct raft *raft)
{
    return raft->role == RAFT_LEADER && raft->commit_index >= raft->term_first_index;
}

/* The progress of members that stay is kept, that of new ones begins. */
static void configuration_set(struct raft *raft, const struct raft_configuration *configuration,
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
static void configuration_append(struct raft *raft, const struct raft_configuration *configuration,
                                 uint64_t index, struct raft_update *update)
{
    struct raft_configuration placed = *configuration;
    placed.index = index;
    raft->configuration_before = raft->configuration;
    configuration_set(raft, &placed, update);
}

/* Only the newest can be truncated: the one before it was committed before it was proposed. */
static void configuration_roll_back(struct raft *raft, uint64_t truncate_from,
                                    struct raft_update *update)
{
    if (raft->configuration.index >= truncate_from)
        configuration_set(raft, &raft->configuration_before, update);
}

/* ---- messages ---- */

static struct raft_message *message_add(struct raft *raft, struct raft_update *update,
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

static void heartbeats_send(struct raft *raft, struct raft_update *update)
{
    raft->heartbeat_ms = 0;
    for (uint32_t i = 0; i < raft->configuration.members_count; i++)
        if (raft->configuration.members[i].number != raft->self)
            heartbeat_add(raft, raft->configuration.members[i].number, update);
}

/* ---- appending ---- */

static void append_own(struct raft *raft, enum raft_kind kind, uint32_t count,
                       struct raft_update *update)
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

/* ---- reads ---- */

static uint32_t voters_reached(const struct raft *raft,
                               bool (*is_reached)(const struct raft *raft, uint32_t place))
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < raft->configuration.members_count; i++)
        if (raft->configuration.members[i].voter)
            count += raft->configuration.members[i].number == raft->self || is_reached(raft, i);
    return count;
}

static bool has_quorum(const struct raft *raft,
                       bool (*is_reached)(const struct raft *raft, uint32_t place))
{
    uint32_t voters = voters_of(&raft->configuration);
    return voters && voters_reached(raft, is_reached) >= quorum_of(voters);
}

static bool answered_round(const struct raft *raft, uint32_t place)
{
    return raft->progress[place].round >= raft->round;
}

static void reads_release(struct raft *raft, uint32_t count, struct raft_update *update)
{
    for (uint32_t i = 0; i < count; i++)
        update->reads[update->reads_count++] = raft->reads[i];
    update->read_index = raft->round_index;
    for (uint32_t i = count; i < raft->reads_count; i++)
        raft->reads[i - count] = raft->reads[i];
    raft->reads_count -= count;
}

/* A quorum that answers a round begun after the reads came proves that nobody led then in a newer
 * term: the commit index of that time covers all that was acknowledged before. */
static void round_close(struct raft *raft, struct raft_update *update)
{
    if (!raft->round_is_open || !has_quorum(raft, answered_round))
        return;
    raft->round_is_open = false;
    reads_release(raft, raft->round_reads, update);
}

/* One round at a time; the reads that come meanwhile share the next. */
static void round_open(struct raft *raft, struct raft_update *update)
{
    if (raft->round_is_open || !raft->reads_count || !raft_has_committed_own_term(raft))
        return;
    raft->round++;
    raft->round_is_open = true;
    raft->round_index = raft->commit_index;
    raft->round_reads = raft->reads_count;
    if (has_quorum(raft, answered_round)) /* alone */
        round_close(raft, update);
    else
        heartbeats_send(raft, update);
}

/* ---- roles ---- */

static void become_follower(struct raft *raft, uint64_t term, uint64_t leader,
                            struct raft_update *update)
{
    assert(term >= raft->hard_state.term);
    if (term > raft->hard_state.term) {
        raft->hard_state = (struct raft_hard_state){.term = term};
        update->hard_state_changed = true;
        update->role_changed = true;
    }
    if (raft->role != RAFT_FOLLOWER || raft->leader != leader || update->role_changed) {
        update->role_changed = true;
        raft->verified_index = raft->acknowledged_index = 0;
        raft->owes_acknowledgement = false;
    }
    raft->role = RAFT_FOLLOWER;
    raft->leader = leader;
    raft->silence_ms = 0;
    raft->patience_ms = raft->timing.election_ms + raft->random % raft->timing.election_ms;
    raft->transfer = false;
    raft->transfer_to = 0;
    raft->round_is_open = false;
    raft->reads_count = 0;
}

static void become_leader(struct raft *raft, struct raft_update *update)
{
    raft->role = RAFT_LEADER;
    raft->leader = raft->self;
    raft->transfer_to = 0;
    raft->disk_ms = 0;
    raft->round_is_open = false;
    raft->reads_count = 0;
    update->role_changed = true;
    for (uint32_t i = 0; i < raft->configuration.members_count; i++) {
        raft->progress[i].member = raft->configuration.members[i].number;
        progress_reset(&raft->progress[i], raft->terms.last_index);
    }
    append_own(raft, RAFT_NOOP, 1, update);
    raft->term_first_index = update->append.first_index;
    raft->round++;
    heartbeats_send(raft, update);
}

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
    if (is_only_voter(raft))
        become_leader(raft, update);
    else
        ask_for_votes(raft, RAFT_VOTE, raft->hard_state.term, update);
}

static void pre_campaign(struct raft *raft, struct raft_update *update)
{
    raft->transfer = false;
    if (is_only_voter(raft)) {
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
    if (has_quorum(raft, granted_vote)) {
        if (raft->role == RAFT_PRE_CANDIDATE)
            campaign(raft, update);
        else
            become_leader(raft, update);
    } else if (!has_quorum(raft, may_yet_grant_vote)) {
        become_follower(raft, raft->hard_state.term, 0, update);
    }
}

/* ---- committing ---- */

/* A leader that is not in the committed configuration has led to the end of its own removal. */
static void leave_if_removed(struct raft *raft, struct raft_update *update)
{
    if (raft->configuration.index <= raft->commit_index && !is_electable(raft))
        become_follower(raft, raft->hard_state.term, 0, update);
}

static void commit_advance(struct raft *raft, struct raft_update *update)
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
    round_open(raft, update);
    leave_if_removed(raft, update);
}

static void commit_learn(struct raft *raft, uint64_t commit_index)
{
    if (commit_index > raft->verified_index)
        commit_index = raft->verified_index;
    if (commit_index > raft->commit_index)
        raft->commit_index = commit_index;
}

/* ---- time ---- */

static bool is_heard(const struct raft *raft, uint32_t place)
{
    return raft->progress[place].silence_ms < raft->timing.election_ms;
}

static void leader_tick(struct raft *raft, uint64_t elapsed_ms, struct raft_update *update)
{
    for (uint32_t i = 0; i < raft->configuration.members_count; i++)
        progress_on_tick(&raft->progress[i], elapsed_ms, raft->timing.election_ms);
    raft->transfer_ms += elapsed_ms;
    if (raft->transfer_to && raft->transfer_ms >= raft->timing.election_ms)
        raft->transfer_to = 0;
    if (!has_quorum(raft, is_heard) || raft->disk_ms >= raft->timing.disk_ms) {
        become_follower(raft, raft->hard_state.term, 0, update);
        return;
    }
    raft->heartbeat_ms += elapsed_ms;
    if (raft->heartbeat_ms >= raft->timing.heartbeat_ms)
        heartbeats_send(raft, update);
}

/* A single voter need not wait for silence: nobody else can lead. */
static void on_tick(struct raft *raft, const struct raft_event *event, struct raft_update *update)
{
    bool waits = raft->persisted_index < raft->terms.last_index;
    raft->disk_ms = waits ? raft->disk_ms + event->elapsed_ms : 0;
    if (raft->role == RAFT_LEADER) {
        leader_tick(raft, event->elapsed_ms, update);
        return;
    }
    raft->silence_ms += event->elapsed_ms;
    bool is_due = raft->silence_ms >= raft->patience_ms || (is_only_voter(raft) && !raft->leader);
    bool may_stand = is_electable(raft) && raft->disk_ms < raft->timing.disk_ms &&
                     terms_have_room(&raft->terms, raft->commit_index);
    if (is_due && may_stand)
        pre_campaign(raft, update);
}

/* ---- the own disk ---- */

/* What a follower acknowledges is durable. */
static void acknowledge(struct raft *raft, struct raft_update *update)
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

static void on_persisted(struct raft *raft, const struct raft_event *event,
                         struct raft_update *update)
{
    if (terms_at(&raft->terms, event->index) != event->term)
        return; /* they were truncated, or cut, meanwhile */
    if (event->index <= raft->persisted_index)
        return;
    raft->persisted_index = event->index;
    raft->disk_ms = 0;
    commit_advance(raft, update);
    acknowledge(raft, update);
}

static void on_stored(struct raft *raft, const struct raft_event *event, struct raft_update *update)
{
    (void)update;
    assert(event->index <= raft->terms.last_index);
    if (event->index > raft->commit_index)
        raft->commit_index = event->index;
}

static void on_cut(struct raft *raft, const struct raft_event *event, struct raft_update *update)
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

static void on_installed(struct raft *raft, const struct raft_event *event,
                         struct raft_update *update)
{
    assert(raft_takes_snapshot(raft, event->index, event->term));
    terms_reset(&raft->terms, event->index, event->term);
    raft->commit_index = raft->persisted_index = event->index;
    raft->verified_index = raft->leader ? event->index : 0;
    raft->configuration_before = *event->configuration;
    configuration_set(raft, event->configuration, update);
    raft->owes_acknowledgement = true;
    acknowledge(raft, update);
}

/* ---- proposals and reads ---- */

static void on_propose(struct raft *raft, const struct raft_event *event,
                       struct raft_update *update)
{
    if (raft->role != RAFT_LEADER)
        update->outcome = RAFT_NOT_LEADER;
    else if (raft->transfer_to)
        update->outcome = RAFT_BUSY;
    else
        append_own(raft, RAFT_COMMAND, event->count, update);
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
static void on_propose_members(struct raft *raft, const struct raft_event *event,
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
    } else if (voters_changed(&raft->configuration, wanted) > 1 || !voters_of(wanted)) {
        update->outcome = RAFT_REFUSED;
    } else {
        append_own(raft, RAFT_CONFIGURATION, 1, update);
        configuration_append(raft, wanted, update->append.first_index, update);
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
        round_open(raft, update);
    }
}

static void transfer_now(struct raft *raft, struct raft_update *update)
{
    const struct progress *progress = raft_progress(raft, raft->transfer_to);
    if (progress && progress->match == raft->terms.last_index)
        (void)message_add(raft, update, RAFT_TIMEOUT_NOW, raft->transfer_to);
}

static void on_transfer(struct raft *raft, const struct raft_event *event,
                        struct raft_update *update)
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

/* ---- votes ---- */

/* A follower that hears its leader, and a leader that hears a quorum, want no election: a server
 * that was removed or cut off cannot disturb them. */
static bool is_content(const struct raft *raft)
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

static void on_prevote(struct raft *raft, const struct raft_event *event,
                       struct raft_update *update)
{
    const struct raft_message *message = event->message;
    bool ok =
        message->term > raft->hard_state.term && !is_content(raft) && is_log_as_new(raft, message);
    struct raft_message *reply = message_add(raft, update, RAFT_PREVOTE_REPLY, message->from);
    reply->ok = ok;
    reply->term = ok ? message->term : raft->hard_state.term;
}

static void on_vote(struct raft *raft, const struct raft_event *event, struct raft_update *update)
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

static void on_vote_reply(struct raft *raft, const struct raft_event *event,
                          struct raft_update *update)
{
    const struct raft_message *message = event->message;
    bool is_pre = message->type == RAFT_PREVOTE_REPLY;
    bool is_mine = is_pre ? raft->role == RAFT_PRE_CANDIDATE &&
                                (!message->ok || message->term == raft->hard_state.term + 1)
                          : raft->role == RAFT_CANDIDATE;
    struct progress *progress = progress_of(raft, message->from);
    if (!is_mine || !progress) {
        update->outcome = RAFT_IGNORED;
        return;
    }
    progress->vote = message->ok ? VOTE_GRANTED : VOTE_REFUSED;
    count_votes(raft, update);
}

static void on_timeout_now(struct raft *raft, const struct raft_event *event,
                           struct raft_update *update)
{
    (void)event;
    if (!is_electable(raft) || raft->role == RAFT_LEADER) {
        update->outcome = RAFT_IGNORED;
        return;
    }
    raft->transfer = true;
    campaign(raft, update);
}

/* ---- a leader's messages ---- */

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

static void on_append(struct raft *raft, const struct raft_event *event, struct raft_update *update)
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
    acknowledge(raft, update);
}

static void on_heartbeat(struct raft *raft, const struct raft_event *event,
                         struct raft_update *update)
{
    commit_learn(raft, event->message->commit);
    struct raft_message *reply =
        message_add(raft, update, RAFT_HEARTBEAT_REPLY, event->message->from);
    reply->round = event->message->round;
    reply->index = raft->verified_index;
}

/* The caller takes what the snapshot is made of; here the leader was heard. */
static void on_snapshot(struct raft *raft, const struct raft_event *event,
                        struct raft_update *update)
{
    if (event->message->index > raft->commit_index)
        return;
    update->outcome = RAFT_IGNORED;
    raft->owes_acknowledgement = true;
    acknowledge(raft, update);
}

/* ---- replies to a leader ---- */

static void on_append_reply(struct raft *raft, const struct raft_event *event,
                            struct raft_update *update)
{
    const struct raft_message *message = event->message;
    struct progress *progress = progress_of(raft, message->from);
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
static void on_heartbeat_reply(struct raft *raft, const struct raft_event *event,
                               struct raft_update *update)
{
    const struct raft_message *message = event->message;
    struct progress *progress = progress_of(raft, message->from);
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

static void on_sent(struct raft *raft, const struct raft_event *event, struct raft_update *update)
{
    struct progress *progress = progress_of(raft, event->member);
    (void)update;
    if (raft->role != RAFT_LEADER || !progress)
        return;
    progress_on_sent(progress, progress->next - 1 + event->count, event->count);
    progress->commit_sent = raft->commit_index;
}

static void on_snapshot_sent(struct raft *raft, const struct raft_event *event,
                             struct raft_update *update)
{
    struct progress *progress = progress_of(raft, event->member);
    (void)update;
    if (raft->role != RAFT_LEADER || !progress)
        return;
    progress_probe(progress);
    if (event->ok && event->index >= progress->next && event->index <= raft->terms.last_index)
        progress->next = event->index + 1;
}

static void on_unreachable(struct raft *raft, const struct raft_event *event,
                           struct raft_update *update)
{
    struct progress *progress = progress_of(raft, event->member);
    (void)update;
    if (raft->role == RAFT_LEADER && progress && progress->state == PROGRESS_REPLICATE)
        progress_probe(progress);
}

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

/* ---- messages and terms ---- */

typedef void raft_handler(struct raft *raft, const struct raft_event *event,
                          struct raft_update *update);

static const struct {
    raft_handler *handler;
    bool is_leaders; /* only a leader sends it */
} messages[] = {
    [RAFT_PREVOTE] = {on_prevote, false},    [RAFT_PREVOTE_REPLY] = {on_vote_reply, false},
    [RAFT_VOTE] = {on_vote, false},          [RAFT_VOTE_REPLY] = {on_vote_reply, false},
    [RAFT_APPEND] = {on_append, true},       [RAFT_APPEND_REPLY] = {on_append_reply, false},
    [RAFT_HEARTBEAT] = {on_heartbeat, true}, [RAFT_HEARTBEAT_REPLY] = {on_heartbeat_reply, false},
    [RAFT_SNAPSHOT] = {on_snapshot, true},   [RAFT_TIMEOUT_NOW] = {on_timeout_now, true},
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
    if (message->type == RAFT_VOTE && message->term > raft->hard_state.term && is_content(raft) &&
        !message->transfer) {
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

static void on_message(struct raft *raft, const struct raft_event *event,
                       struct raft_update *update)
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

/* ---- events ---- */

static raft_handler *const handlers[] = {
    [RAFT_ON_TICK] = on_tick,
    [RAFT_ON_PERSISTED] = on_persisted,
    [RAFT_ON_PROPOSE] = on_propose,
    [RAFT_ON_PROPOSE_MEMBERS] = on_propose_members,
    [RAFT_ON_READ] = on_read,
    [RAFT_ON_MESSAGE] = on_message,
    [RAFT_ON_SENT] = on_sent,
    [RAFT_ON_SNAPSHOT_SENT] = on_snapshot_sent,
    [RAFT_ON_INSTALLED] = on_installed,
    [RAFT_ON_STORED] = on_stored,
    [RAFT_ON_CUT] = on_cut,
    [RAFT_ON_TRANSFER] = on_transfer,
    [RAFT_ON_UNREACHABLE] = on_unreachable,
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
