#include "consensus_private.h"

#include "buffer.h"
#include "file.h"
#include "limits.h"
#include "logger.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

void consensus_fail(struct consensus *consensus, int code, const char *what)
{
    consensus->options.on_failed(consensus->options.context, code, what);
}

/* Election timeouts differ: this is all the core uses it for. */
uint64_t consensus_random(struct consensus *consensus)
{
    consensus->chance ^= consensus->chance << 13;
    consensus->chance ^= consensus->chance >> 7;
    consensus->chance ^= consensus->chance << 17;
    return consensus->chance;
}

/* ---- membership ---- */

struct membership_find {
    struct membership *membership;
    int code;
};

static bool membership_on_record(void *context, const struct record *record)
{
    struct membership_find *find = context;
    struct wire_reader body = wire_reader_of(record->data, record->data_bytes);
    find->code = membership_decode(&body, find->membership);
    find->membership->index = record->index;
    return false;
}

int consensus_load_membership(struct consensus *consensus, uint64_t index,
                              struct membership *ret_membership)
{
    struct membership_find find = {.membership = ret_membership, .code = -EBADMSG};
    *ret_membership = consensus->hard_state.membership;
    if (index <= ret_membership->index)
        return 0;
    int code = log_read(consensus->log, index, index, membership_on_record, &find);
    return code ? code : find.code;
}

/* The core knows who; the addresses are in the entry. */
static void consensus_refresh_membership(struct consensus *consensus)
{
    int code = consensus_load_membership(consensus, consensus->raft.configuration.index,
                                         &consensus->membership);
    if (code)
        consensus_fail(consensus, code, "log read");
    consensus->members_changed = true;
    consensus_watch_time(consensus);
}

/* ---- taking updates apart ---- */

static void consensus_save_hard_state(struct consensus *consensus)
{
    consensus->hard_state.raft = consensus->raft.hard_state;
    int code = hard_state_save(&consensus->hard_state);
    if (code)
        consensus_fail(consensus, code, "hard state");
}

static void consensus_truncate(struct consensus *consensus, uint64_t index)
{
    logger_info("log_truncated", "from_index=%llu last_index=%llu", (unsigned long long)index,
                (unsigned long long)log_last_index(consensus->log));
    int code = log_truncate(consensus->log, index, terms_at(&consensus->raft.terms, index - 1));
    if (code)
        consensus_fail(consensus, code, "log truncate");
    consensus->options.on_truncated(consensus->options.context, index);
}

/* Commands are appended by whoever proposed them (consensus_append), configurations by
 * consensus_propose_members, a leader's by consensus_entries: only they know the bytes. */
static void consensus_append_noop(struct consensus *consensus, const struct raft_append *append)
{
    if (append->count && append->kind == RAFT_NOOP)
        log_append(consensus->log, append->term, ENTRY_NOOP, NULL, 0);
}

/* Who is cut off, or was removed and not told, stands again and again: that is said once. */
static bool consensus_is_still_unled(struct consensus *consensus)
{
    const struct raft *raft = &consensus->raft;
    bool is_unled =
        !raft->leader && (raft->role == RAFT_FOLLOWER || raft->role == RAFT_PRE_CANDIDATE);
    if (is_unled && consensus->unled_term && consensus->unled_term == raft->hard_state.term)
        return true;
    consensus->unled_term =
        is_unled && raft->role == RAFT_PRE_CANDIDATE ? raft->hard_state.term : 0;
    return false;
}

static void consensus_log_role(struct consensus *consensus)
{
    static const char *const names[] = {"", "follower", "candidate", "leader", "pre_candidate"};
    const struct raft *raft = &consensus->raft;
    if (consensus_is_still_unled(consensus))
        return;
    const struct raft_server *leader = membership_server(&consensus->membership, raft->leader);
    logger_info("role", "role=%s term=%llu leader=%s", names[raft->role],
                (unsigned long long)raft->hard_state.term, leader ? leader->id : "\"\"");
}

/* What stands behind the disk: raft.h, 3 and 4. */
static void consensus_tell(struct consensus *consensus)
{
    const struct consensus_options *options = &consensus->options;
    const struct raft_update *update = &consensus->update;
    for (uint32_t i = 0; i < update->messages_count; i++)
        options->send(options->context, &update->messages[i]);
    if (update->role_changed) {
        consensus_log_role(consensus);
        options->on_role(options->context);
    }
    for (uint32_t i = 0; i < update->reads_count; i++)
        options->on_read(options->context, update->reads[i], update->read_index);
    bool awaits_commands = update->append.count && update->append.kind == RAFT_COMMAND;
    assert(awaits_commands || log_last_index(consensus->log) == consensus->raft.terms.last_index);
    consensus->is_deciding = false;
}

/* Up to what must be durable or in the log before the rest (raft.h, 1 and 2). */
static void consensus_decide(struct consensus *consensus, struct raft_event *event)
{
    struct raft_update *update = &consensus->update;
    assert(!consensus->is_deciding);
    consensus->is_deciding = true;
    event->random = consensus_random(consensus);
    raft_step(&consensus->raft, event, update);
    if (update->hard_state_changed)
        consensus_save_hard_state(consensus);
    if (update->truncate_from)
        consensus_truncate(consensus, update->truncate_from);
    consensus_append_noop(consensus, &update->append);
}

void consensus_step(struct consensus *consensus, struct raft_event event)
{
    consensus_decide(consensus, &event);
    if (consensus->update.configuration_changed)
        consensus_refresh_membership(consensus);
    consensus_tell(consensus);
}

/* ---- time ---- */

static void consensus_on_tick(void *context)
{
    struct consensus *consensus = context;
    uint64_t now_ms = loop_now_ms(consensus->options.loop);
    uint64_t elapsed_ms = now_ms - consensus->tick_ms;
    consensus->tick_ms = now_ms;
    if (consensus->phase == PHASE_RUNNING)
        consensus_step(consensus,
                       (struct raft_event){.type = RAFT_ON_TICK, .elapsed_ms = elapsed_ms});
    consensus_watch_time(consensus);
}

/* A node alone has nobody to hear or to wait for. */
static bool consensus_is_alone(const struct consensus *consensus)
{
    const struct raft_configuration *configuration = &consensus->raft.configuration;
    return configuration->members_count == 1 && consensus->raft.role == RAFT_LEADER;
}

void consensus_watch_time(struct consensus *consensus)
{
    uint64_t period_ms = consensus->options.config->heartbeat_interval_ms / 2;
    struct loop *loop = consensus->options.loop;
    if (consensus->tick_timer.place || consensus_is_alone(consensus) ||
        consensus->phase < PHASE_RUNNING)
        return;
    if (loop_now_ms(loop) - consensus->tick_ms > 2 * period_ms)
        consensus->tick_ms = loop_now_ms(loop); /* it was alone until now */
    loop_timer_set(loop, &consensus->tick_timer, loop_now_ms(loop) + (period_ms ? period_ms : 1),
                   consensus_on_tick, consensus);
}

/* ---- proposals and reads ---- */

enum raft_outcome consensus_propose(struct consensus *consensus, uint32_t count,
                                    uint64_t *ret_first_index)
{
    if (consensus->phase != PHASE_RUNNING)
        return RAFT_NOT_LEADER;
    consensus_step(consensus, (struct raft_event){.type = RAFT_ON_PROPOSE, .count = count});
    if (consensus->update.outcome == RAFT_DONE)
        *ret_first_index = consensus->update.append.first_index;
    return consensus->update.outcome;
}

void consensus_append(struct consensus *consensus, const void *command, size_t command_bytes)
{
    log_append(consensus->log, consensus->raft.hard_state.term, ENTRY_COMMAND, command,
               command_bytes);
}

enum raft_outcome consensus_read(struct consensus *consensus, uint64_t read)
{
    if (consensus->phase != PHASE_RUNNING)
        return RAFT_NOT_LEADER;
    consensus_step(consensus, (struct raft_event){.type = RAFT_ON_READ, .read = read});
    return consensus->update.outcome;
}

enum raft_outcome consensus_propose_members(struct consensus *consensus,
                                            const struct membership *membership)
{
    struct raft_configuration configuration;
    struct raft_event event = {.type = RAFT_ON_PROPOSE_MEMBERS, .configuration = &configuration};
    struct buffer data = {0};
    if (consensus->phase != PHASE_RUNNING)
        return RAFT_NOT_LEADER;
    assert(membership_fits(membership));
    membership_to_core(membership, &configuration);
    consensus_decide(consensus, &event);
    enum raft_outcome outcome = consensus->update.outcome;
    if (outcome == RAFT_DONE) {
        membership_encode(&data, membership);
        log_append(consensus->log, consensus->raft.hard_state.term, ENTRY_CONFIGURATION, data.bytes,
                   data.length);
        buffer_free(&data);
        consensus_refresh_membership(consensus);
    }
    consensus_tell(consensus);
    return outcome;
}

enum raft_outcome consensus_transfer(struct consensus *consensus, uint64_t member)
{
    if (consensus->phase != PHASE_RUNNING)
        return RAFT_NOT_LEADER;
    consensus_step(consensus, (struct raft_event){.type = RAFT_ON_TRANSFER, .member = member});
    return consensus->update.outcome;
}

/* ---- other members ---- */

void consensus_message(struct consensus *consensus, const struct raft_message *message)
{
    bool is_heard = consensus->phase == PHASE_RUNNING ||
                    (consensus->phase == PHASE_INSTALLING && message->type == RAFT_HEARTBEAT);
    if (is_heard && message->type != RAFT_APPEND)
        consensus_step(consensus, (struct raft_event){.type = RAFT_ON_MESSAGE, .message = message});
}

/* A leader's entries, decoded as far as the core must know them. */
struct entries {
    struct raft_entry *entries;
    struct raft_configuration *configurations;
    uint32_t count, configurations_count;
};

static void entries_free(struct entries *entries)
{
    free(entries->entries);
    free(entries->configurations);
}

static int entries_add_configuration(struct entries *entries, const struct apply_entry *entry)
{
    struct membership membership;
    struct wire_reader body = wire_reader_of(entry->data, entry->data_bytes);
    int code = membership_decode(&body, &membership);
    if (code)
        return code;
    struct raft_configuration *place = &entries->configurations[entries->configurations_count++];
    membership_to_core(&membership, place);
    entries->entries[entries->count].configuration = place;
    return 0;
}

static uint32_t configurations_in(struct message_list list)
{
    struct apply_entry entry;
    uint32_t count = 0;
    while (peer_entries_next(&list, &entry))
        count += entry.kind == ENTRY_CONFIGURATION;
    return count;
}

static int entries_decode(struct message_list list, struct entries *ret_entries)
{
    struct entries entries = {0};
    struct apply_entry entry;
    uint32_t configurations = configurations_in(list);
    int code = 0;
    entries.entries = memory_new_zeroed(list.left + 1, sizeof(*entries.entries));
    entries.configurations = memory_new_zeroed(configurations + 1, sizeof(*entries.configurations));
    while (!code && peer_entries_next(&list, &entry)) {
        entries.entries[entries.count].term = entry.term;
        if (entry.kind == ENTRY_CONFIGURATION)
            code = entries_add_configuration(&entries, &entry);
        entries.count++;
    }
    if (code)
        entries_free(&entries);
    else
        *ret_entries = entries;
    return code;
}

/* The entries behind the first `skip`. */
static void consensus_append_taken(struct consensus *consensus, struct message_list list)
{
    const struct raft_append *append = &consensus->update.append;
    struct apply_entry entry;
    uint32_t place = 0;
    while (append->count && peer_entries_next(&list, &entry))
        if (place++ >= append->skip)
            log_append(consensus->log, entry.term, entry.kind, entry.data, entry.data_bytes);
}

int consensus_entries(struct consensus *consensus, const struct raft_message *message,
                      struct message_list list)
{
    struct entries entries;
    struct raft_event event = {.type = RAFT_ON_MESSAGE, .message = message};
    if (consensus->phase != PHASE_RUNNING)
        return 0;
    if (message->type != RAFT_APPEND || message->count != list.left)
        return -EPROTO;
    int code = entries_decode(list, &entries);
    if (code)
        return code;
    event.entries = entries.entries;
    consensus_decide(consensus, &event);
    consensus_append_taken(consensus, list);
    if (consensus->update.configuration_changed)
        consensus_refresh_membership(consensus);
    consensus_tell(consensus);
    entries_free(&entries);
    return 0;
}

void consensus_sent(struct consensus *consensus, uint64_t member, uint32_t count)
{
    consensus_step(consensus,
                   (struct raft_event){.type = RAFT_ON_SENT, .member = member, .count = count});
}

void consensus_unreachable(struct consensus *consensus, uint64_t member)
{
    if (consensus->phase == PHASE_RUNNING)
        consensus_step(consensus,
                       (struct raft_event){.type = RAFT_ON_UNREACHABLE, .member = member});
}

void consensus_snapshot_sent(struct consensus *consensus, uint64_t member, uint64_t index, bool ok)
{
    if (consensus->phase == PHASE_RUNNING)
        consensus_step(consensus, (struct raft_event){.type = RAFT_ON_SNAPSHOT_SENT,
                                                      .member = member,
                                                      .index = index,
                                                      .ok = ok});
}

/* ---- a snapshot that comes in ---- */

int consensus_install_begin(struct consensus *consensus, uint64_t index, uint64_t term,
                            const uint8_t *configuration, size_t configuration_bytes)
{
    struct install install = {.is_pending = true, .index = index, .term = term};
    struct wire_reader body = wire_reader_of(configuration, configuration_bytes);
    if (consensus->phase != PHASE_RUNNING || !raft_takes_snapshot(&consensus->raft, index, term))
        return -ESTALE;
    if (index == 0 || membership_decode(&body, &install.membership))
        return -EPROTO;
    if (!consensus->options.on_install(consensus->options.context))
        return -EAGAIN;
    install.membership.index = index;
    memcpy(install.cluster_id, consensus->hard_state.identity.cluster_id,
           sizeof(install.cluster_id));
    consensus->hard_state.install = install;
    int code = hard_state_save(&consensus->hard_state);
    if (code)
        consensus_fail(consensus, code, "hard state");
    consensus->phase = PHASE_INSTALLING;
    return 0;
}

/* ---- the log's length ---- */

/* What a follower that is heard has not got yet is kept for it, within the bound in bytes: a
 * snapshot would cost more. */
static uint64_t entries_wanted_behind(const struct consensus *consensus, uint64_t durable_index)
{
    const struct raft *raft = &consensus->raft;
    uint64_t index =
        durable_index > LIMIT_LOG_KEPT_ENTRIES ? durable_index - LIMIT_LOG_KEPT_ENTRIES : 0;
    for (uint32_t i = 0; raft->role == RAFT_LEADER && i < raft->configuration.members_count; i++) {
        const struct progress *progress = &raft->progress[i];
        bool is_heard = progress->silence_ms < raft->timing.election_ms && progress->match;
        if (progress->member != raft->self && is_heard && progress->match < index)
            index = progress->match;
    }
    return index;
}

/* What is kept for followers is worth less than room for what comes. */
static bool is_disk_tight(void)
{
    uint64_t free_bytes;
    return !file_free_bytes("log.space", ".", &free_bytes) && free_bytes < LIMIT_DISK_TIGHT_BYTES;
}

/* Up to where entries may go: never above the durable index (invariant 6). */
static uint64_t entries_to_spare(const struct consensus *consensus, uint64_t durable_index)
{
    if (log_is_without_spare(consensus->log) || is_disk_tight())
        return durable_index;
    uint64_t limit =
        consensus->hold_index == UINT64_MAX ? LIMIT_LOG_KEPT_BYTES : LIMIT_LOG_HELD_BYTES;
    uint64_t by_bytes = log_over_bytes(consensus->log, limit);
    uint64_t by_count = entries_wanted_behind(consensus, durable_index);
    if (by_count > consensus->hold_index)
        by_count = consensus->hold_index;
    uint64_t index = by_bytes > by_count ? by_bytes : by_count;
    return index < durable_index ? index : durable_index;
}

void consensus_cut(struct consensus *consensus)
{
    uint64_t term = 0, durable_index = consensus->store_durable_index;
    uint64_t place =
        log_cut_place(consensus->log, entries_to_spare(consensus, durable_index), &term);
    if (place == 0 || consensus->membership.index > place || consensus->phase != PHASE_RUNNING)
        return; /* (its entry must not be cut, and the one before it is not kept: it passes with the
                   next cut) */
    consensus->hard_state.cut_index = place;
    consensus->hard_state.cut_term = term;
    consensus->hard_state.membership = consensus->membership;
    int code = hard_state_save(&consensus->hard_state);
    if (code == -ENOSPC)
        return; /* not cut now, then later */
    if (!code)
        code = log_cut(consensus->log, place);
    if (code)
        consensus_fail(consensus, code, "log cut");
    else
        consensus_step(consensus, (struct raft_event){.type = RAFT_ON_CUT, .index = place});
}

void consensus_on_store_durable(struct consensus *consensus, uint64_t durable_index)
{
    consensus->store_durable_index = durable_index;
    if (consensus->log)
        consensus_cut(consensus);
}

void consensus_hold(struct consensus *consensus, uint64_t index)
{
    consensus->hold_index = index;
}

/* ---- for reading ---- */

void consensus_flush(struct consensus *consensus)
{
    if (consensus->persisted_index) {
        struct raft_event event = {.type = RAFT_ON_PERSISTED,
                                   .index = consensus->persisted_index,
                                   .term = consensus->persisted_term};
        consensus->persisted_index = 0;
        consensus_step(consensus, event);
    }
    if (consensus->log)
        log_flush(consensus->log);
    if (!consensus->members_changed)
        return;
    consensus->members_changed = false;
    consensus->options.on_members(consensus->options.context);
}

bool consensus_is_running(const struct consensus *consensus)
{
    return consensus->phase == PHASE_RUNNING;
}

bool consensus_is_installing(const struct consensus *consensus)
{
    return consensus->phase == PHASE_INSTALLING;
}

bool consensus_is_leader(const struct consensus *consensus)
{
    return consensus->phase == PHASE_RUNNING && consensus->raft.role == RAFT_LEADER;
}

const struct raft *consensus_raft(const struct consensus *consensus)
{
    return &consensus->raft;
}

uint64_t consensus_apply_index(const struct consensus *consensus)
{
    const struct raft *raft = &consensus->raft;
    return raft->commit_index < raft->persisted_index ? raft->commit_index : raft->persisted_index;
}

const struct identity *consensus_identity(const struct consensus *consensus)
{
    return &consensus->hard_state.identity;
}

const struct membership *consensus_membership(const struct consensus *consensus)
{
    return &consensus->membership;
}

const struct hard_state *consensus_hard_state(const struct consensus *consensus)
{
    return &consensus->hard_state;
}

struct log *consensus_log(const struct consensus *consensus)
{
    return consensus->log;
}
