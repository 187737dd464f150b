/* Members and guests, and what is sent to them.
 *
 * Whoever changes whom to dial may stand in a callback of the very connection that has to go. So
 * changes are only noted, and settled by a timer that is due at once; until then nothing is sent
 * over what has to go. */
#include "peers_private.h"

#include "buffer.h"
#include "entropy.h"
#include "limits.h"
#include "message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct peer *peers_find(const struct peers *peers, uint64_t number)
{
    for (uint32_t i = 0; i < PEERS_MAX; i++)
        if (peers->list[i] && peers->list[i]->number == number)
            return peers->list[i];
    return NULL;
}

/* ---- settling ---- */

static void peer_free(struct peer *peer)
{
    peer_hang_up(peer);
    buffer_free(&peer->queued);
    free(peer);
}

static void peer_settle(struct peers *peers, uint32_t place)
{
    struct peer *peer = peers->list[place];
    if (peer->is_gone) {
        peers->list[place] = NULL;
        peer_free(peer);
        return;
    }
    if (!peer->is_stale)
        return;
    peer_hang_up(peer);
    peer->is_stale = false;
    peer->address_ms = loop_now_ms(peers->options.loop);
    if (peers->self.number)
        peer_dial(peer);
}

static void settle(void *context)
{
    struct peers *peers = context;
    for (uint32_t i = 0; i < PEERS_MAX; i++)
        if (peers->list[i])
            peer_settle(peers, i);
}

static void settle_soon(struct peers *peers)
{
    loop_timer_set(peers->options.loop, &peers->settle_timer, loop_now_ms(peers->options.loop),
                   settle, peers);
}

static void peer_redial(struct peer *peer, const char *address)
{
    if (address != peer->address)
        snprintf(peer->address, sizeof(peer->address), "%s", address);
    peer->is_stale = true;
    settle_soon(peer->peers);
}

/* ---- where they are ---- */

/* The membership may be behind a member that moved, and a member may advertise what nobody reaches:
 * while it cannot be reached, the two addresses take turns. */
static void peer_watch_address(struct peer *peer, uint64_t now_ms)
{
    const char *other = strcmp(peer->address, peer->told) ? peer->told : peer->listed;
    if (!peer->is_stale && !peer_is_up(peer, CONTROL) && other[0] && strcmp(other, peer->address) &&
        now_ms - peer->address_ms >= PEERS_ADDRESS_MS)
        peer_redial(peer, other);
}

static void tick(void *context)
{
    struct peers *peers = context;
    uint64_t now_ms = loop_now_ms(peers->options.loop);
    bool has_any = false;
    for (uint32_t i = 0; i < PEERS_MAX; i++) {
        struct peer *peer = peers->list[i];
        if (!peer)
            continue;
        has_any = true;
        peer_ping(peer);
        peer_watch_address(peer, now_ms);
        peer_tell_absence(peer, now_ms);
        if (peers_is_calling(peers, peer->number))
            peer->called_ms = now_ms;
        if (!peer->is_member && now_ms - peer->called_ms > PEERS_GUEST_MS_MAX) {
            peer->is_gone = true;
            settle_soon(peers);
        }
    }
    if (has_any) /* a node alone needs no timer */
        loop_timer_set(peers->options.loop, &peers->tick_timer, now_ms + PEERS_PING_MS, tick,
                       peers);
}

/* A guest, until somebody says else. NULL: the list is full, which a membership never makes it. */
static struct peer *peer_new(struct peers *peers, uint64_t number)
{
    uint32_t place = 0;
    while (place < PEERS_MAX && peers->list[place])
        place++;
    if (place == PEERS_MAX)
        return NULL;
    struct peer *peer = peers->list[place] = memory_new_zeroed(1, sizeof(*peer));
    uint64_t now_ms = loop_now_ms(peers->options.loop);
    peer->peers = peers;
    peer->number = number;
    peer->called_ms = peer->up_ms = now_ms;
    if (!peers->tick_timer.place)
        loop_timer_set(peers->options.loop, &peers->tick_timer, now_ms + PEERS_PING_MS, tick,
                       peers);
    return peer;
}

static uint32_t guests_count(const struct peers *peers)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < PEERS_MAX; i++)
        count += peers->list[i] && !peers->list[i]->is_member;
    return count;
}

void peers_met(struct peers *peers, const struct peer_hello *caller)
{
    struct peer *peer = peers_find(peers, caller->number);
    bool is_new = !peer;
    if (is_new && guests_count(peers) < PEERS_GUESTS_MAX)
        peer = peer_new(peers, caller->number);
    if (!peer)
        return;
    if (!peer->is_member) {
        peer->is_gone = false;
        snprintf(peer->id, sizeof(peer->id), "%s", caller->hello.node_id);
    }
    if (!caller->raft_address[0] || !strcmp(peer->told, caller->raft_address))
        return;
    snprintf(peer->told, sizeof(peer->told), "%s", caller->raft_address);
    if (strcmp(peer->address, peer->told) && (is_new || !peer_is_up(peer, CONTROL)))
        peer_redial(peer, peer->told);
}

static void peer_set_member(struct peers *peers, uint64_t number, const struct raft_server *server)
{
    struct peer *peer = peers_find(peers, number);
    if (!peer)
        peer = peer_new(peers, number);
    if (!peer)
        return;
    peer->is_member = true;
    peer->is_gone = false;
    snprintf(peer->id, sizeof(peer->id), "%s", server->id);
    if (!strcmp(peer->listed, server->raft_address))
        return;
    snprintf(peer->listed, sizeof(peer->listed), "%s", server->raft_address);
    peer->told[0] = '\0'; /* older than this */
    if (strcmp(peer->address, peer->listed))
        peer_redial(peer, peer->listed);
}

/* Who was a member is a guest now: a leader that is being removed needs the answers to its last
 * entries. */
static void peer_set_guest(struct peer *peer)
{
    peer->is_member = false;
    peer->listed[0] = '\0';
    peer->called_ms = loop_now_ms(peer->peers->options.loop);
}

static bool self_is_equal(const struct peers_self *one, const struct peers_self *other)
{
    return one->number == other->number &&
           !memcmp(one->cluster_id, other->cluster_id, sizeof(one->cluster_id)) &&
           !strcmp(one->node_id, other->node_id) &&
           !strcmp(one->raft_address, other->raft_address) &&
           !strcmp(one->http_url, other->http_url);
}

void peers_set_self(struct peers *peers, const struct peers_self *self)
{
    if (self_is_equal(&peers->self, self))
        return;
    bool is_same_member =
        peers->self.number == self->number &&
        !memcmp(peers->self.cluster_id, self->cluster_id, sizeof(self->cluster_id));
    peers->self = *self;
    if (!is_same_member)
        peers_drop_callers(peers);
    for (uint32_t i = 0; i < PEERS_MAX; i++) {
        struct peer *peer = peers->list[i];
        if (!peer)
            continue;
        peer->is_gone = peer->is_gone || (!is_same_member && !peer->is_member);
        peer_redial(peer, peer->address);
    }
}

void peers_set_members(struct peers *peers, const struct membership *membership)
{
    for (uint32_t i = 0; i < PEERS_MAX; i++) {
        struct peer *peer = peers->list[i];
        if (peer && peer->is_member && !membership_server(membership, peer->number))
            peer_set_guest(peer);
        if (peer && peer->number == peers->self.number) {
            peer->is_gone = true;
            settle_soon(peers);
        }
    }
    for (uint32_t i = 0; i < membership->count; i++)
        if (membership->numbers[i] != peers->self.number)
            peer_set_member(peers, membership->numbers[i], &membership->servers[i]);
}

/* ---- sending ---- */

void peers_send(struct peers *peers, const struct raft_message *message)
{
    struct peer *peer = peers_find(peers, message->to);
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
    for (uint32_t i = 0; i < PEERS_MAX; i++) {
        struct peer *peer = peers->list[i];
        if (!peer || !peer->queued.length)
            continue;
        if (peer_is_up(peer, CONTROL))
            (void)bus_cast(peer->links[CONTROL].client, PROTO_RAFT, &peer->queued);
        buffer_clear(&peer->queued, LIMIT_PEER_CONTROL_BYTES_MAX);
    }
}

bool peers_has_room(const struct peers *peers, uint64_t number)
{
    const struct peer *peer = peers_find(peers, number);
    return peer_is_up(peer, BULK) &&
           bus_client_unsent_bytes(peer->links[BULK].client) < LIMIT_PEER_UNSENT_BYTES_MAX;
}

bool peers_send_entries(struct peers *peers, uint64_t number, const struct buffer *entries)
{
    struct peer *peer = peers_find(peers, number);
    if (!peers_has_room(peers, number) ||
        bus_cast(peer->links[BULK].client, PROTO_ENTRIES, entries))
        return false;
    peer->counters.entries_sent += peer_entries_count(entries);
    return true;
}

int peers_call(struct peers *peers, uint64_t number, uint16_t type, const struct buffer *body,
               uint64_t deadline_ms, bus_reply_fn *fn, void *context)
{
    struct peer *peer = peers_find(peers, number);
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
    struct peer *peer = peers_find(peers, number);
    if (peer_is_up(peer, CONTROL) &&
        bus_client_unsent_bytes(peer->links[CONTROL].client) < LIMIT_PEER_CONTROL_BYTES_MAX)
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
    const struct peer *peer = peers_find(peers, number);
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
    peers->options = *options;
    peers->boot_epoch = entropy_number();
    int code = peers_listen(peers, error);
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
    loop_timer_cancel(peers->options.loop, &peers->tick_timer);
    loop_timer_cancel(peers->options.loop, &peers->settle_timer);
    peers_invite_free(peers);
    for (uint32_t i = 0; i < PEERS_MAX; i++) {
        struct peer *peer = peers->list[i];
        for (int link = 0; peer && link < LINKS; link++)
            bus_client_free(peer->links[link].client);
        if (peer)
            buffer_free(&peer->queued);
        free(peer);
    }
    bus_server_free(peers->server);
    free(peers);
}
