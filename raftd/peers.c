#include "peers_private.h"

#include "buffer.h"
#include "clock.h"
#include "entropy.h"
#include "hello.h"
#include "limits.h"
#include "logger.h"
#include "message.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONTROL, BULK, LINKS };

struct peer_link {
    struct peer *peer;
    struct bus_client *client;
    char refusal[128]; /* the reason told last: each is logged once */
};

struct peer {
    struct peers *peers;
    uint64_t number;
    bool is_member;    /* else a guest */
    uint64_t heard_ms; /* when `control` was up last */
    char id[LIMIT_NODE_ID_BYTES_MAX + 1];
    char address[LIMIT_ADDRESS_BYTES_MAX];
    struct peer_link links[LINKS];
    struct buffer queued; /* RAFT of this turn */
    uint64_t ping_us;     /* when it was sent; 0: none is on its way */
    struct peers_counters counters;
};

static struct peer *peer_of(const struct peers *peers, uint64_t number)
{
    for (uint32_t i = 0; i < PEERS_MAX; i++)
        if (peers->list[i] && peers->list[i]->number == number)
            return peers->list[i];
    return NULL;
}

static bool peer_is_up(const struct peer *peer, int link)
{
    return peer && peer->links[link].client && bus_client_is_up(peer->links[link].client);
}

/* ---- the wire's messages and the core's ---- */

struct peer_message peers_wire_of(const struct raft_message *message)
{
    return (struct peer_message){.type = (uint8_t)message->type,
                                 .from = message->from,
                                 .to = message->to,
                                 .term = message->term,
                                 .index = message->index,
                                 .log_term = message->log_term,
                                 .rejected = message->rejected,
                                 .commit = message->commit,
                                 .round = message->round,
                                 .count = message->count,
                                 .ok = message->ok,
                                 .transfer = message->transfer};
}

static struct raft_message core_of(const struct peer_message *message)
{
    return (struct raft_message){.type = (enum raft_message_type)message->type,
                                 .from = message->from,
                                 .to = message->to,
                                 .term = message->term,
                                 .index = message->index,
                                 .log_term = message->log_term,
                                 .rejected = message->rejected,
                                 .commit = message->commit,
                                 .round = message->round,
                                 .count = message->count,
                                 .ok = message->ok,
                                 .transfer = message->transfer};
}

_Static_assert((int)RAFT_PREVOTE == PEER_MESSAGE_TYPE_MIN &&
                   (int)RAFT_TIMEOUT_NOW == PEER_MESSAGE_TYPE_MAX,
               "the wire's message types are the core's");

/* ---- greeting ---- */

void peers_hello(const struct peers *peers, enum proto_role role, uint64_t meant,
                 struct buffer *into)
{
    const struct peers_self *self = &peers->self;
    struct peer_hello hello = {.number = self->number, .meant = meant};
    hello.hello = hello_of(role, peers->boot_epoch, self->node_id);
    memcpy(hello.cluster_id, self->cluster_id, sizeof(hello.cluster_id));
    memcpy(hello.raft_address, self->raft_address, sizeof(hello.raft_address));
    memcpy(hello.http_url, self->http_url, sizeof(hello.http_url));
    peer_hello_encode(into, &hello);
}

void peers_url(char into[LIMIT_URL_BYTES_MAX], const char *address)
{
    snprintf(into, LIMIT_URL_BYTES_MAX, "tcp://%s", address);
}

static int check_caller(const struct peers *peers, const struct peer_hello *caller,
                        struct error *error)
{
    const struct peers_self *self = &peers->self;
    struct hello own = hello_of(PROTO_ROLE_MEMBER, peers->boot_epoch, self->node_id);
    int code = hello_check_version(&own, &caller->hello, error);
    if (code || caller->hello.role == PROTO_ROLE_INVITER)
        return code;
    if (caller->hello.role != PROTO_ROLE_MEMBER || !caller->number || !caller->meant)
        return error_set(error, -EPROTO, "this is where members of a cluster talk");
    if (!self->number)
        return error_set(error, -EPROTO, "%s is in no cluster", self->node_id);
    if (memcmp(self->cluster_id, caller->cluster_id, sizeof(self->cluster_id)))
        return error_set(error, -EPROTO, "%s belongs to another cluster", self->node_id);
    if (caller->meant != self->number)
        return error_set(error, -EPROTO,
                         "%s is not the member that is meant: its disk was exchanged or wiped",
                         self->node_id);
    return 0;
}

static uint32_t caller_place(struct peers *peers, uint64_t number)
{
    for (uint32_t i = 0; i < LIMIT_BUS_PEERS_MAX; i++)
        if (peers->callers[i] == number)
            return i;
    uint32_t place = peers->callers_next++ % LIMIT_BUS_PEERS_MAX;
    peers->callers[place] = number;
    return place;
}

/* ---- what comes in ---- */

typedef int peers_handler(struct peers *peers, uint64_t from, struct bus_request *request);

static int on_raft(struct peers *peers, uint64_t from, struct bus_request *request)
{
    struct message_list list;
    struct peer_message wire;
    int code = peer_raft_decode(&request->body, &list);
    while (!code && peer_raft_next(&list, &wire)) {
        struct raft_message message = core_of(&wire);
        if (message.from == from)
            peers->options.on_message(peers->options.context, &message);
    }
    return code;
}

static int on_entries(struct peers *peers, uint64_t from, struct bus_request *request)
{
    struct message_list list;
    struct peer_message wire;
    int code = peer_entries_decode(&request->body, &wire, &list);
    if (code || wire.from != from)
        return -EPROTO;
    struct raft_message message = core_of(&wire);
    peers->options.on_entries(peers->options.context, &message, list);
    return 0;
}

static int on_invite(struct peers *peers, uint64_t from, struct bus_request *request)
{
    struct invite invite;
    struct invited invited = {0};
    struct buffer body = {0};
    (void)from;
    int code = invite_decode(&request->body, &invite);
    if (code)
        return code;
    peers->options.on_invite(peers->options.context, &invite, &invited);
    invited_encode(&body, &invited);
    bus_reply(peers->server, &request->route, PROTO_INVITED, &body);
    buffer_free(&body);
    return 0;
}

static int on_ping(struct peers *peers, uint64_t from, struct bus_request *request)
{
    (void)from;
    bus_reply(peers->server, &request->route, PROTO_PONG, NULL);
    return 0;
}

static int on_state(struct peers *peers, uint64_t from, struct bus_request *request)
{
    struct peer_state state;
    int code = peer_state_decode(&request->body, &state);
    if (!code)
        peers->options.on_state(peers->options.context, from, &state);
    return code;
}

static int on_diverged(struct peers *peers, uint64_t from, struct bus_request *request)
{
    uint64_t index;
    int code = peer_diverged_decode(&request->body, &index);
    if (!code)
        peers->options.on_diverged(peers->options.context, from, index);
    return code;
}

static int on_call(struct peers *peers, uint64_t from, struct bus_request *request)
{
    return peers->options.on_call(peers->options.context, from, request);
}

static const struct {
    uint16_t type;
    peers_handler *handler;
} handlers[] = {
    {PROTO_RAFT, on_raft},
    {PROTO_ENTRIES, on_entries},
    {PROTO_PING, on_ping},
    {PROTO_STATE, on_state},
    {PROTO_DIVERGED, on_diverged},
    {PROTO_INVITE, on_invite},
    {PROTO_SNAPSHOT_BEGIN_TO, on_call},
    {PROTO_SNAPSHOT_PART_TO, on_call},
    {PROTO_SNAPSHOT_END_TO, on_call},
};
#define HANDLERS_COUNT (sizeof(handlers) / sizeof(*handlers))

const uint16_t *peers_handled(void)
{
    static uint16_t numbers[HANDLERS_COUNT + 1];
    for (unsigned i = 0; i < HANDLERS_COUNT; i++)
        numbers[i] = handlers[i].type;
    return numbers;
}

static void on_request(void *context, struct bus_request *request)
{
    struct peers *peers = context;
    bool is_member = request->peer < LIMIT_BUS_PEERS_MAX;
    enum proto_role role = is_member ? PROTO_ROLE_MEMBER : PROTO_ROLE_INVITER;
    uint64_t from = is_member ? peers->callers[request->peer] : 0;
    int code = -EPROTO;
    if (proto_call_allowed(request->type, role, PROTO_ROLE_MEMBER, request->body.left))
        for (unsigned i = 0; i < HANDLERS_COUNT; i++)
            if (handlers[i].type == request->type)
                code = handlers[i].handler(peers, from, request);
    if (!code)
        return;
    logger_warning("message_refused", "type=%u from=%s", request->type, proto_role_name(role));
    bus_refuse(peers->server, &request->route, PROTO_STATUS_BAD_REQUEST,
               "not a message for a member");
}

/* ---- connections to members ---- */

static int on_welcome(void *context, struct wire_reader *body, uint64_t *ret_epoch)
{
    struct peer_link *link = context;
    const struct peers *peers = link->peer->peers;
    struct peer_hello callee;
    if (peer_hello_decode(body, &callee) || callee.number != link->peer->number ||
        memcmp(callee.cluster_id, peers->self.cluster_id, sizeof(callee.cluster_id)))
        return -EPROTO;
    *ret_epoch = callee.hello.boot_epoch;
    return 0;
}

static void on_refused(void *context, const char *text)
{
    struct peer_link *link = context;
    char reason[ERROR_TEXT_BYTES + 8], shown[sizeof(link->refusal)];
    snprintf(shown, sizeof(shown), "%s", text);
    if (!strcmp(shown, link->refusal))
        return;
    memcpy(link->refusal, shown, sizeof(shown));
    logger_warning("member_refuses", "node_id=%s address=%s reason=%s", link->peer->id,
                   link->peer->address, logger_quoted(reason, sizeof(reason), shown));
}

static void on_up(void *context)
{
    struct peer_link *link = context;
    struct peer *peer = link->peer;
    link->refusal[0] = '\0';
    peer->counters.connects++;
    if (link == &peer->links[CONTROL])
        logger_info("member_up", "node_id=%s address=%s", peer->id, peer->address);
}

static void on_down(void *context)
{
    struct peer_link *link = context;
    struct peer *peer = link->peer;
    if (link == &peer->links[BULK]) {
        peer->peers->options.on_lost(peer->peers->options.context, peer->number);
    } else {
        peer->queued.length = 0;
        logger_info("member_down", "node_id=%s address=%s", peer->id, peer->address);
    }
}

static void peer_hang_up(struct peer *peer)
{
    for (int i = 0; i < LINKS; i++) {
        bus_client_free(peer->links[i].client);
        peer->links[i].client = NULL;
    }
    peer->ping_us = 0;
}

static void peer_dial(struct peer *peer)
{
    struct peers *peers = peer->peers;
    char url[LIMIT_URL_BYTES_MAX], reason[ERROR_TEXT_BYTES + 8];
    struct buffer hello = {0};
    struct error error = {""};
    peers_url(url, peer->address);
    peers_hello(peers, PROTO_ROLE_MEMBER, peer->number, &hello);
    for (int i = 0; i < LINKS; i++) {
        struct peer_link *link = &peer->links[i];
        struct bus_client_options options = {
            .loop = peers->options.loop,
            .url = url,
            .hello = hello.bytes,
            .hello_bytes = hello.length,
            .on_welcome = on_welcome,
            .on_refused = on_refused,
            .on_up = on_up,
            .on_down = on_down,
            .context = link,
        };
        link->peer = peer;
        if (bus_client_new(&link->client, &options, &error))
            logger_error("member_not_dialled", "node_id=%s reason=%s", peer->id,
                         logger_quoted(reason, sizeof(reason), error.text));
    }
    buffer_free(&hello);
}

static void peer_free(struct peer *peer)
{
    peer_hang_up(peer);
    buffer_free(&peer->queued);
    free(peer);
}

/* NULL: there are too many guests. */
static struct peer *peer_new(struct peers *peers, uint64_t number)
{
    uint32_t place = 0;
    while (place < PEERS_MAX && peers->list[place])
        place++;
    if (place == PEERS_MAX)
        return NULL;
    struct peer *peer = peers->list[place] = memory_new_zeroed(1, sizeof(*peer));
    peer->peers = peers;
    peer->number = number;
    return peer;
}

static void peer_set(struct peers *peers, uint64_t number, const char *id, const char *address,
                     bool is_member)
{
    struct peer *peer = peer_of(peers, number);
    if (!peer)
        peer = peer_new(peers, number);
    if (!peer)
        return;
    peer->is_member = is_member;
    if (!strcmp(peer->address, address) && peer->links[BULK].client)
        return;
    peer_hang_up(peer);
    peer->heard_ms = loop_now_ms(peers->options.loop);
    snprintf(peer->id, sizeof(peer->id), "%s", id);
    snprintf(peer->address, sizeof(peer->address), "%s", address);
    peer_dial(peer);
}

static void peers_drop(struct peers *peers,
                       bool (*is_to_go)(const struct peer *peer, const void *of), const void *of)
{
    for (uint32_t i = 0; i < PEERS_MAX; i++) {
        struct peer *peer = peers->list[i];
        if (!peer || !is_to_go(peer, of))
            continue;
        peers->list[i] = NULL;
        peer_free(peer);
    }
}

static bool was_member(const struct peer *peer, const void *membership)
{
    return peer->is_member && !membership_server(membership, peer->number);
}

static bool is_lost_guest(const struct peer *peer, const void *now_ms)
{
    return !peer->is_member && *(const uint64_t *)now_ms - peer->heard_ms > PEERS_GUEST_MS_MAX;
}

void peers_set_self(struct peers *peers, const struct peers_self *self)
{
    if (!memcmp(&peers->self, self, sizeof(*self)))
        return;
    peers->self = *self;
    for (uint32_t i = 0; i < PEERS_MAX; i++)
        if (peers->list[i])
            peer_hang_up(peers->list[i]);
}

void peers_set_members(struct peers *peers, const struct membership *membership)
{
    peers_drop(peers, was_member, membership);
    for (uint32_t i = 0; i < membership->count; i++)
        if (membership->numbers[i] != peers->self.number)
            peer_set(peers, membership->numbers[i], membership->servers[i].id,
                     membership->servers[i].raft_address, true);
}

/* ---- being greeted ---- */

static int on_hello(void *context, struct wire_reader *body, uint32_t *ret_peer,
                    struct buffer *welcome, struct error *error)
{
    struct peers *peers = context;
    struct peer_hello caller;
    if (peer_hello_decode(body, &caller))
        return error_set(error, -EPROTO, "not a HELLO of a member");
    int code = check_caller(peers, &caller, error);
    if (code)
        return code;
    peers_hello(peers, PROTO_ROLE_MEMBER, caller.number, welcome);
    bool is_member = caller.hello.role == PROTO_ROLE_MEMBER;
    *ret_peer = is_member ? caller_place(peers, caller.number) : LIMIT_BUS_PEERS_MAX;
    if (is_member && !peer_of(peers, caller.number))
        peer_set(peers, caller.number, caller.hello.node_id, caller.raft_address, false);
    if (is_member)
        peers->options.on_seen(peers->options.context, caller.number, caller.raft_address,
                               caller.http_url);
    return 0;
}

/* ---- pings ---- */

static void on_pong(void *context, enum bus_end end, uint16_t type, struct wire_reader *body)
{
    struct peer *peer = context;
    (void)body;
    if (end == BUS_REPLIED && type == PROTO_PONG)
        peer->counters.round_trip_us = clock_monotonic_us() - peer->ping_us;
    peer->ping_us = 0;
    if (end != BUS_TIMED_OUT)
        return;
    logger_warning("member_silent", "node_id=%s address=%s", peer->id, peer->address);
    peer->counters.round_trip_us = 0;
    for (int i = 0; i < LINKS; i++)
        if (peer->links[i].client)
            bus_client_reset(peer->links[i].client);
}

static void ping_all(void *context)
{
    struct peers *peers = context;
    uint64_t now_ms = loop_now_ms(peers->options.loop);
    for (uint32_t i = 0; i < PEERS_MAX; i++) {
        struct peer *peer = peers->list[i];
        if (!peer_is_up(peer, CONTROL) || peer->ping_us)
            continue;
        peer->heard_ms = now_ms;
        peer->ping_us = clock_monotonic_us();
        if (bus_call(peer->links[CONTROL].client, PROTO_PING, NULL, now_ms + PEERS_SILENCE_MS_MAX,
                     on_pong, peer))
            peer->ping_us = 0;
    }
    peers_drop(peers, is_lost_guest, &now_ms);
}

/* A node alone has nobody to ping and needs no timer. */
static void watch(struct peers *peers)
{
    bool has_any = false;
    for (uint32_t i = 0; i < PEERS_MAX; i++)
        has_any = has_any || peers->list[i];
    if (has_any && !peers->ping_timer.place)
        loop_timer_set(peers->options.loop, &peers->ping_timer,
                       loop_now_ms(peers->options.loop) + PEERS_PING_MS, ping_all, peers);
}

/* ---- sending ---- */

void peers_send(struct peers *peers, const struct raft_message *message)
{
    struct peer *peer = peer_of(peers, message->to);
    struct peer_message wire = peers_wire_of(message);
    if (!peer)
        return; /* a member of another time */
    bool has_room = peer_is_up(peer, CONTROL) &&
                    bus_client_unsent_bytes(peer->links[CONTROL].client) + peer->queued.length <
                        LIMIT_PEER_CONTROL_BYTES_MAX;
    peer->counters.messages_sent += has_room;
    peer->counters.messages_dropped += !has_room;
    if (!has_room)
        return;
    if (!peer->queued.length)
        peer_raft_begin(&peer->queued);
    peer_raft_add(&peer->queued, &wire);
}

void peers_flush(struct peers *peers)
{
    watch(peers);
    for (uint32_t i = 0; i < PEERS_MAX; i++) {
        struct peer *peer = peers->list[i];
        if (!peer || !peer->queued.length)
            continue;
        if (peer_is_up(peer, CONTROL))
            (void)bus_cast(peer->links[CONTROL].client, PROTO_RAFT, &peer->queued);
        peer->queued.length = 0;
    }
}

bool peers_has_room(const struct peers *peers, uint64_t number)
{
    const struct peer *peer = peer_of(peers, number);
    return peer_is_up(peer, BULK) &&
           bus_client_unsent_bytes(peer->links[BULK].client) < LIMIT_PEER_UNSENT_BYTES_MAX;
}

bool peers_send_entries(struct peers *peers, uint64_t number, const struct buffer *entries)
{
    struct peer *peer = peer_of(peers, number);
    if (!peer_is_up(peer, BULK) || bus_cast(peer->links[BULK].client, PROTO_ENTRIES, entries))
        return false;
    peer->counters.entries_sent += peer_entries_count(entries);
    return true;
}

int peers_call(struct peers *peers, uint64_t number, uint16_t type, const struct buffer *body,
               uint64_t deadline_ms, bus_reply_fn *fn, void *context)
{
    struct peer *peer = peer_of(peers, number);
    return peer_is_up(peer, BULK)
               ? bus_call(peer->links[BULK].client, type, body, deadline_ms, fn, context)
               : BUS_DOWN;
}

void peers_reply(struct peers *peers, const struct bus_route *route, uint16_t type,
                 const struct buffer *body)
{
    bus_reply(peers->server, route, type, body);
}

static void cast_control(struct peers *peers, uint64_t number, uint16_t type, struct buffer *body)
{
    struct peer *peer = peer_of(peers, number);
    if (peer_is_up(peer, CONTROL))
        (void)bus_cast(peer->links[CONTROL].client, type, body);
    buffer_free(body);
}

void peers_send_state(struct peers *peers, uint64_t number, const struct peer_state *state)
{
    struct buffer body = {0};
    peer_state_encode(&body, state);
    cast_control(peers, number, PROTO_STATE, &body);
}

void peers_send_diverged(struct peers *peers, uint64_t number, uint64_t index)
{
    struct buffer body = {0};
    peer_diverged_encode(&body, index);
    cast_control(peers, number, PROTO_DIVERGED, &body);
}

struct peers_counters peers_counters(const struct peers *peers, uint64_t number)
{
    const struct peer *peer = peer_of(peers, number);
    struct peers_counters counters = {0};
    if (!peer)
        return counters;
    counters = peer->counters;
    counters.is_connected = peer_is_up(peer, CONTROL) && peer_is_up(peer, BULK);
    for (int i = 0; i < LINKS; i++)
        if (peer->links[i].client)
            counters.bytes_unsent += bus_client_unsent_bytes(peer->links[i].client);
    return counters;
}

/* ---- life ---- */

int peers_new(struct peers **ret_peers, const struct peers_options *options, struct error *error)
{
    struct peers *peers = memory_new_zeroed(1, sizeof(*peers));
    char address[LIMIT_ADDRESS_BYTES_MAX], url[LIMIT_URL_BYTES_MAX];
    peers->options = *options;
    peers->boot_epoch = entropy_number();
    config_address_format(options->listen, address, sizeof(address));
    peers_url(url, address);
    struct bus_server_options server = {
        .loop = options->loop,
        .url = url,
        .epoch = peers->boot_epoch,
        .on_hello = on_hello,
        .on_request = on_request,
        .context = peers,
    };
    int code = bus_server_new(&peers->server, &server, error);
    if (code) {
        free(peers);
        return code;
    }
    *ret_peers = peers;
    return 0;
}

void peers_free(struct peers *peers)
{
    if (!peers)
        return;
    loop_timer_cancel(peers->options.loop, &peers->ping_timer);
    loop_timer_cancel(peers->options.loop, &peers->invitation.deadline);
    loop_task_cancel(peers->options.loop, &peers->invitation.end);
    bus_client_free(peers->invitation.client);
    for (uint32_t i = 0; i < PEERS_MAX; i++)
        if (peers->list[i])
            peer_free(peers->list[i]);
    bus_server_free(peers->server);
    free(peers);
}
