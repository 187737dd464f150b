#include "changes.h"

#include "buffer.h"
#include "logger.h"
#include "message.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum change_kind { CHANGE_JOIN, CHANGE_REMOVE, CHANGE_TRANSFER };
enum change_stage { STAGE_IDLE, STAGE_INVITING, STAGE_WANTED, STAGE_PROPOSED };

struct changes {
    struct changes_options options;
    enum change_stage stage;
    enum change_kind kind;
    struct bus_route route;
    uint64_t number; /* whom it is about */
    struct raft_server server;
    struct loop_timer deadline;
    struct membership seen; /* newest addresses heard of, by number; `voter` has no meaning */
    uint64_t looked_index;  /* of the configuration that was last compared with them */
    bool has_news;          /* they may differ from it */
};

static bool is_committed(const struct changes *changes)
{
    const struct raft *raft = consensus_raft(changes->options.consensus);
    return raft->configuration.index <= raft->commit_index;
}

/* ---- answers ---- */

__attribute__((format(printf, 4, 5))) static void changes_answer(struct changes *changes,
                                                                 const struct bus_route *route,
                                                                 uint16_t status,
                                                                 const char *reason, ...)
{
    struct members_reply reply = {.status = status};
    struct buffer body = {0};
    va_list arguments;
    va_start(arguments, reason);
    vsnprintf(reply.reason, sizeof(reply.reason), reason, arguments);
    va_end(arguments);
    changes->options.fill_hint(changes->options.context, &reply.hint);
    if (status == PROTO_STATUS_NOT_LEADER && !reply.hint.id[0])
        reply.status = PROTO_STATUS_UNAVAILABLE;
    members_ok_encode(&body, &reply);
    bus_reply(*changes->options.server, route, PROTO_MEMBERS_OK, &body);
    buffer_free(&body);
}

#define changes_end(changes, ...)                                                                  \
    do {                                                                                           \
        loop_timer_cancel((changes)->options.loop, &(changes)->deadline);                          \
        (changes)->stage = STAGE_IDLE;                                                             \
        changes_answer(changes, &(changes)->route, __VA_ARGS__);                                   \
    } while (0)

static void changes_on_deadline(void *context)
{
    struct changes *changes = context;
    if (changes->stage == STAGE_PROPOSED)
        changes_end(changes, PROTO_STATUS_UNKNOWN, "%s is not through yet",
                    changes->kind == CHANGE_JOIN ? "catching up" : "the change");
    else
        changes_end(changes, PROTO_STATUS_BUSY, "another change of the cluster is not through yet");
}

/* A JOIN that only waits for its learner: that may take long, or for ever. */
static bool is_waiting_for_learner(const struct changes *changes)
{
    return changes->stage == STAGE_PROPOSED && changes->kind == CHANGE_JOIN &&
           is_committed(changes);
}

/* True: this call is the change under way now. Else it is answered. */
static bool changes_begin(struct changes *changes, const struct bus_route *route,
                          enum change_kind kind, uint64_t ms_max)
{
    const struct raft *raft = consensus_raft(changes->options.consensus);
    if (!consensus_is_leader(changes->options.consensus)) {
        changes_answer(changes, route, PROTO_STATUS_NOT_LEADER, "this node does not lead");
        return false;
    }
    if (kind != CHANGE_JOIN && is_waiting_for_learner(changes))
        changes_end(changes, PROTO_STATUS_UNKNOWN,
                    "%s learns, and another change came before it was a voter", changes->server.id);
    if (changes->stage != STAGE_IDLE || raft->transfer_to) {
        changes_answer(changes, route, PROTO_STATUS_BUSY,
                       "another change of the cluster is under way");
        return false;
    }
    changes->kind = kind;
    changes->route = *route;
    changes->stage = STAGE_WANTED;
    loop_timer_set(changes->options.loop, &changes->deadline,
                   loop_now_ms(changes->options.loop) + ms_max, changes_on_deadline, changes);
    return true;
}

/* ---- who is who ---- */

static uint32_t place_of_id(const struct membership *membership, const char *id)
{
    uint32_t place = 0;
    while (place < membership->count && strcmp(membership->servers[place].id, id))
        place++;
    return place;
}

static uint32_t place_of_number(const struct membership *membership, uint64_t number)
{
    uint32_t place = 0;
    while (place < membership->count && membership->numbers[place] != number)
        place++;
    return place;
}

/* ---- joining ---- */

/* The configuration with the node as it said it is: a learner, or known and moved. */
static enum raft_outcome propose_joined(struct changes *changes)
{
    struct membership changed = *consensus_membership(changes->options.consensus);
    uint32_t place = place_of_number(&changed, changes->number);
    bool voter = place < changed.count && changed.servers[place].voter;
    if (place == RAFT_MEMBERS_MAX)
        return RAFT_REFUSED;
    if (place == changed.count)
        changed.count++;
    changed.numbers[place] = changes->number;
    changed.servers[place] = changes->server;
    changed.servers[place].voter = voter;
    if (!membership_fits(&changed))
        return RAFT_REFUSED;
    return consensus_propose_members(changes->options.consensus, &changed);
}

static void changes_on_invited(void *context, const struct invited *invited)
{
    struct changes *changes = context;
    const struct membership *membership = consensus_membership(changes->options.consensus);
    if (changes->stage != STAGE_INVITING)
        return; /* its call has ended */
    uint32_t place = place_of_id(membership, changes->server.id);
    if (invited->status != PROTO_STATUS_OK) {
        changes_end(changes, invited->status, "%s at %s: %s", changes->server.id,
                    changes->server.raft_address, invited->reason);
    } else if (strcmp(invited->node_id, changes->server.id)) {
        changes_end(changes, PROTO_STATUS_REFUSED, "the node at %s is %s, not %s",
                    changes->server.raft_address, invited->node_id, changes->server.id);
    } else if (place < membership->count && membership->numbers[place] != invited->number) {
        changes_end(changes, PROTO_STATUS_REFUSED,
                    "%s is a member with another disk: remove it first", changes->server.id);
    } else {
        changes->number = invited->number;
        memcpy(changes->server.http_url, invited->http_url, sizeof(changes->server.http_url));
        changes->stage = STAGE_WANTED;
        loop_again(changes->options.loop); /* changes_flush has been in this turn */
    }
}

/* Before anybody is asked; NULL: nothing speaks against it. */
static const char *join_objection(const struct membership *membership, const struct join *join)
{
    uint32_t place = place_of_id(membership, join->id);
    for (uint32_t i = 0; i < membership->count; i++)
        if (i != place && !strcmp(membership->servers[i].raft_address, join->raft_address))
            return "the address is another member's";
    if (place == membership->count && place == RAFT_MEMBERS_MAX)
        return "the cluster has as many members as it can have";
    return NULL;
}

static bool is_voter_as_told(const struct membership *membership, const struct join *join)
{
    uint32_t place = place_of_id(membership, join->id);
    return place < membership->count && membership->servers[place].voter &&
           !strcmp(membership->servers[place].raft_address, join->raft_address);
}

void changes_join(struct changes *changes, const struct bus_route *route, const struct join *join)
{
    const struct membership *membership = consensus_membership(changes->options.consensus);
    const struct identity *identity = consensus_identity(changes->options.consensus);
    struct invite invite = {0};
    if (!changes_begin(changes, route, CHANGE_JOIN, CHANGES_JOIN_MS_MAX))
        return;
    const char *objection = join_objection(membership, join);
    uint32_t place = place_of_id(membership, join->id);
    changes->number = 0;
    changes->server = (struct raft_server){.voter = false};
    memcpy(changes->server.id, join->id, sizeof(changes->server.id));
    memcpy(changes->server.raft_address, join->raft_address, sizeof(changes->server.raft_address));
    if (objection) {
        changes_end(changes, PROTO_STATUS_REFUSED, "%s at %s: %s", join->id, join->raft_address,
                    objection);
        return;
    }
    if (is_voter_as_told(membership, join) && membership->numbers[place] == identity->number) {
        consensus_found(changes->options.consensus); /* itself */
        changes_end(changes, PROTO_STATUS_OK, "%s", "");
        return;
    }
    if (consensus_seeks(changes->options.consensus) &&
        !consensus_founds(changes->options.consensus)) {
        changes_end(changes, PROTO_STATUS_UNAVAILABLE,
                    "this node is new and looks for a cluster through its seeds itself");
        return;
    }
    memcpy(invite.cluster_id, identity->cluster_id, sizeof(invite.cluster_id));
    memcpy(invite.node_id, join->id, sizeof(invite.node_id));
    invite.number = place < membership->count ? membership->numbers[place] : 0;
    changes->stage = STAGE_INVITING;
    int code = peers_invite(*changes->options.peers, join->raft_address, &invite,
                            loop_now_ms(changes->options.loop) + CHANGES_INVITE_MS_MAX,
                            changes_on_invited, changes);
    if (code)
        changes_end(changes, code == -EBUSY ? PROTO_STATUS_BUSY : PROTO_STATUS_UNREACHABLE,
                    "%s cannot be asked now", join->raft_address);
}

bool changes_is_inviting(const struct changes *changes)
{
    return changes->stage == STAGE_INVITING ||
           (changes->stage == STAGE_WANTED && changes->kind == CHANGE_JOIN);
}

static bool is_joined(const struct changes *changes)
{
    const struct raft_server *server =
        membership_server(consensus_membership(changes->options.consensus), changes->number);
    return server && server->voter && is_committed(changes);
}

/* ---- leaving ---- */

static enum raft_outcome propose_removed(struct changes *changes)
{
    struct membership changed = *consensus_membership(changes->options.consensus);
    uint32_t place = place_of_number(&changed, changes->number);
    if (place == changed.count)
        return RAFT_DONE;
    changed.count--;
    for (; place < changed.count; place++) {
        changed.numbers[place] = changed.numbers[place + 1];
        changed.servers[place] = changed.servers[place + 1];
    }
    return consensus_propose_members(changes->options.consensus, &changed);
}

static bool is_removed(const struct changes *changes)
{
    return !membership_server(consensus_membership(changes->options.consensus), changes->number) &&
           is_committed(changes);
}

void changes_remove(struct changes *changes, const struct bus_route *route, const char *id)
{
    const struct membership *membership = consensus_membership(changes->options.consensus);
    if (!changes_begin(changes, route, CHANGE_REMOVE, CHANGES_MS_MAX))
        return;
    uint32_t place = place_of_id(membership, id);
    if (place == membership->count) {
        changes_end(changes, PROTO_STATUS_NOT_FOUND, "no member is called %s", id);
        return;
    }
    changes->number = membership->numbers[place];
    changes->server = membership->servers[place];
}

/* ---- leading ---- */

uint64_t changes_successor(const struct changes *changes)
{
    const struct raft *raft = consensus_raft(changes->options.consensus);
    const struct membership *membership = consensus_membership(changes->options.consensus);
    uint32_t own = place_of_number(membership, raft->self), count = membership->count;
    uint64_t member = 0, match = 0;
    for (uint32_t i = 1; i <= count; i++) {
        uint32_t place = (own + i) % count;
        const struct progress *progress = &raft->progress[place];
        bool may = raft->configuration.members[place].voter && progress->member != raft->self &&
                   progress->silence_ms < raft->timing.election_ms;
        if (may && (!member || progress->match > match)) {
            member = progress->member;
            match = progress->match;
        }
    }
    return member;
}

void changes_transfer(struct changes *changes, const struct bus_route *route, const char *id)
{
    struct consensus *consensus = changes->options.consensus;
    const struct membership *membership = consensus_membership(consensus);
    if (!changes_begin(changes, route, CHANGE_TRANSFER, CHANGES_MS_MAX))
        return;
    uint32_t place = place_of_id(membership, id);
    if (id[0] && place == membership->count) {
        changes_end(changes, PROTO_STATUS_NOT_FOUND, "no member is called %s", id);
        return;
    }
    changes->number = id[0] ? membership->numbers[place] : changes_successor(changes);
    if (changes->number == consensus_identity(consensus)->number) {
        changes_end(changes, PROTO_STATUS_OK, "%s", "");
    } else if (!changes->number) {
        changes_end(changes, PROTO_STATUS_REFUSED, "there is no other voter that answers");
    } else if (consensus_transfer(consensus, changes->number) != RAFT_DONE) {
        changes_end(changes, PROTO_STATUS_REFUSED, "%s cannot lead: it is no voter", id);
    } else if (changes->stage == STAGE_WANTED) {
        changes->stage = STAGE_PROPOSED;
    }
}

/* The core gives a transfer up after an election timeout, and leads on. */
static void transfer_look(struct changes *changes)
{
    const struct raft *raft = consensus_raft(changes->options.consensus);
    if (raft->leader == changes->number)
        changes_end(changes, PROTO_STATUS_OK, "%s", "");
    else if (raft->leader == raft->self && !raft->transfer_to)
        changes_end(changes, PROTO_STATUS_UNAVAILABLE,
                    "it did not catch up in time: leadership stays");
    else if (raft->leader && raft->leader != raft->self)
        changes_end(changes, PROTO_STATUS_UNKNOWN, "leadership went to another node");
}

/* ---- addresses ---- */

void changes_on_seen(struct changes *changes, uint64_t number, const char *raft_address,
                     const char *http_url)
{
    struct membership *seen = &changes->seen;
    uint32_t place = place_of_number(seen, number);
    changes->has_news = true;
    if (place == RAFT_MEMBERS_MAX)
        place = 0; /* nodes come and go: any of the oldest */
    else if (place == seen->count)
        seen->count++;
    seen->numbers[place] = number;
    snprintf(seen->servers[place].raft_address, LIMIT_ADDRESS_BYTES_MAX, "%s", raft_address);
    snprintf(seen->servers[place].http_url, LIMIT_URL_BYTES_MAX, "%s", http_url);
}

/* A node that listens on every address and was not told which to show can but guess: where others
 * reach it under a name that leaves its machine, that one is kept. */
static bool is_local(const char *address)
{
    static const char *const names[] = {"127.", "localhost:", "[::1]:", "0.0.0.0:", "[::]:"};
    for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (!strncmp(address, names[i], strlen(names[i])))
            return true;
    return false;
}

static void take_addresses(struct raft_server *server, const struct raft_server *seen)
{
    if (is_local(seen->raft_address) && !is_local(server->raft_address))
        return;
    memcpy(server->raft_address, seen->raft_address, sizeof(seen->raft_address));
    memcpy(server->http_url, seen->http_url, sizeof(seen->http_url));
}

/* True if a change was proposed. */
static bool announce_addresses(struct changes *changes)
{
    struct consensus *consensus = changes->options.consensus;
    uint64_t index = consensus_membership(consensus)->index;
    if (!changes->has_news && changes->looked_index == index && index)
        return false;
    struct membership changed = *consensus_membership(consensus);
    changes->has_news = false;
    changes->looked_index = index;
    for (uint32_t i = 0; i < changed.count; i++) {
        const struct raft_server *seen = membership_server(&changes->seen, changed.numbers[i]);
        if (seen)
            take_addresses(&changed.servers[i], seen);
    }
    /* a membership that was never written stands in no entry yet */
    bool is_new =
        changed.index == 0 || !membership_is_same(&changed, consensus_membership(consensus));
    if (is_new && !membership_fits(&changed)) {
        logger_error("addresses_not_announced",
                     "reason=\"with them the membership is over %u bytes: shorten raft_addr or "
                     "http_addr\"",
                     LIMIT_CONFIGURATION_BYTES_MAX);
        return false;
    }
    bool is_proposed = is_new && consensus_propose_members(consensus, &changed) == RAFT_DONE;
    changes->has_news = is_new && !is_proposed;
    return is_proposed;
}

/* ---- learners ---- */

static bool has_caught_up(const struct raft *raft, const struct progress *progress)
{
    return progress->state == PROGRESS_REPLICATE &&
           progress->silence_ms < raft->timing.election_ms &&
           progress->match + CHANGES_LAG_ENTRIES_MAX >= raft->terms.last_index;
}

static void promote_learner(struct changes *changes)
{
    struct consensus *consensus = changes->options.consensus;
    const struct raft *raft = consensus_raft(consensus);
    const struct membership *membership = consensus_membership(consensus);
    for (uint32_t i = 0; i < membership->count; i++) {
        const struct progress *progress = raft_progress(raft, membership->numbers[i]);
        if (membership->servers[i].voter || !progress || !has_caught_up(raft, progress))
            continue;
        struct membership changed = *membership;
        changed.servers[i].voter = true;
        logger_info("promoted", "node_id=%s", changed.servers[i].id);
        (void)consensus_propose_members(consensus, &changed);
        return;
    }
}

/* ---- the next step ---- */

static void propose_wanted(struct changes *changes)
{
    enum raft_outcome outcome =
        changes->kind == CHANGE_JOIN ? propose_joined(changes) : propose_removed(changes);
    if (outcome == RAFT_DONE)
        changes->stage = STAGE_PROPOSED;
    else if (outcome == RAFT_REFUSED && changes->kind == CHANGE_JOIN)
        changes_end(changes, PROTO_STATUS_REFUSED,
                    "the cluster has as many members, or as long addresses, as it can have");
    else if (outcome == RAFT_REFUSED)
        changes_end(changes, PROTO_STATUS_REFUSED, "%s is the only voter", changes->server.id);
}

/* Whether what was proposed is through. A leader that removed itself does not lead any more. */
static void look_at_proposed(struct changes *changes)
{
    if (changes->kind == CHANGE_TRANSFER)
        transfer_look(changes);
    else if (changes->kind == CHANGE_JOIN ? is_joined(changes) : is_removed(changes))
        changes_end(changes, PROTO_STATUS_OK, "%s", "");
    else if (!consensus_is_leader(changes->options.consensus))
        changes_end(changes, PROTO_STATUS_UNKNOWN, "leadership was lost meanwhile");
}

void changes_flush(struct changes *changes)
{
    struct consensus *consensus = changes->options.consensus;
    if (changes->stage == STAGE_PROPOSED)
        look_at_proposed(changes);
    if (!consensus_is_leader(consensus)) {
        if (changes->stage != STAGE_IDLE && changes->stage != STAGE_PROPOSED)
            changes_end(changes, PROTO_STATUS_NOT_LEADER, "this node does not lead any more");
        return;
    }
    if (!raft_has_committed_own_term(consensus_raft(consensus)) || !is_committed(changes) ||
        consensus_raft(consensus)->transfer_to || announce_addresses(changes))
        return;
    if (changes->stage == STAGE_WANTED)
        propose_wanted(changes);
    else
        promote_learner(changes);
}

struct changes *changes_new(const struct changes_options *options)
{
    struct changes *changes = memory_new_zeroed(1, sizeof(*changes));
    changes->options = *options;
    return changes;
}

void changes_free(struct changes *changes)
{
    if (!changes)
        return;
    loop_timer_cancel(changes->options.loop, &changes->deadline);
    free(changes);
}
