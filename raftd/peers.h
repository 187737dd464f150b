/* The transport between the raftds of a cluster: who is connected, and what may be sent. Owner:
 * raftd.
 *
 * Each raftd listens on raft_addr and dials every other member; who dials, sends. Two connections
 * to each: `control` for what must never wait (votes, heartbeats, replies), `bulk` for entries and
 * snapshots. Nothing blocks: what finds no connection or no room is dropped, and the core sends
 * again by itself. Connections are greeted (proto/peer.h): another cluster, another member than the
 * one meant (a wiped disk, an exchanged address) or another version is refused with the reason. So
 * is a second process that says it is a member, at another address, while the first is heard: a
 * copy of its disk, whose votes and acknowledgements would be taken for the member's own.
 *
 * Who greets as a member of this cluster and is not known as one is a guest, and dialled back at
 * the address it told: a node that is new, or lags behind, must be able to answer its leader. So is
 * who was a member until now. A guest that has not called for PEERS_GUEST_MS_MAX is forgotten.
 *
 * A member that does not answer a PING within PEERS_SILENCE_MS_MAX (after a partition, TCP itself
 * would wait for minutes) is hung up on and dialled anew; a caller that sends nothing for
 * PEERS_BULK_SILENCE_MS_MAX, not even a PING, is hung up on. A member that cannot be reached where
 * the membership says is looked for where it said itself, in turns. */
#pragma once

#include "bus.h"
#include "config.h"
#include "membership.h"
#include "peer.h"
#include "raft.h"

#define PEERS_PING_MS 250u
#define PEERS_SILENCE_MS_MAX 1000u       /* from a PING to hanging up */
#define PEERS_BULK_SILENCE_MS_MAX 10000u /* `bulk` alone: an answer may stand behind megabytes */
#define PEERS_GUEST_MS_MAX 10000u
#define PEERS_COPY_MS 1000u    /* heard so lately, a member is still there: it pings oftener */
#define PEERS_INVITERS_MAX 8u  /* at once; anyone can be one, so they must not take all places */
#define PEERS_ABSENCE_MS 5000u /* until the log says why a member cannot be reached */
#define PEERS_ADDRESS_MS 2000u /* an address is tried for so long before the other one is */

struct peers;

/* Who this node is, as its HELLOs say. number 0: it is in no cluster. */
struct peers_self {
    uint8_t cluster_id[16];
    uint64_t number;
    char node_id[LIMIT_NODE_ID_BYTES_MAX + 1];
    char raft_address[LIMIT_ADDRESS_BYTES_MAX]; /* advertised */
    char http_url[LIMIT_URL_BYTES_MAX];
};

struct peers_options {
    struct loop *loop;
    const struct config_address *listen; /* raft_addr; an empty host: every local address */
    /* A message without entries, from a member of this cluster. */
    void (*on_message)(void *context, const struct raft_message *message);
    /* An APPEND with its entries (apply_entry, peer_entries_next). */
    void (*on_entries)(void *context, const struct raft_message *message,
                       struct message_list entries);
    /* SNAPSHOT_*_TO from this member: whoever owes the reply keeps request->route (peers_reply). 0,
     * or -EPROTO: a body that cannot be decoded. */
    int (*on_call)(void *context, uint64_t from, struct bus_request *request);
    /* Another raftd asks this node to join its cluster; answer now. */
    void (*on_invite)(void *context, const struct invite *invite, struct invited *ret_invited);
    /* A greeting told where a member is: its addresses may be new. */
    void (*on_seen)(void *context, uint64_t number, const char *raft_address, const char *http_url);
    /* The bulk connection to this member was lost, and what was on its way: RAFT_ON_UNREACHABLE.
     * All calls on it have ended. */
    void (*on_lost)(void *context, uint64_t number);
    /* STATE and DIVERGED of a member. */
    void (*on_state)(void *context, uint64_t from, const struct peer_state *state);
    void (*on_diverged)(void *context, uint64_t from, uint64_t index);
    /* Each of them may call anything here but peers_free. */
    void *context;
};

/* Listens. Errors with a line: the address cannot be bound (which, and why). */
int peers_new(struct peers **ret_peers, const struct peers_options *options, struct error *error);
void peers_free(struct peers *peers);
/* From now on. Connections to others are made anew; those from others too, if this node is another
 * member now (but an INVITE that is being answered is answered). */
void peers_set_self(struct peers *peers, const struct peers_self *self);
/* Dials the members (not itself); who is none any more is a guest. A new address is dialled anew.
 * Takes effect in a moment, so it may be called anywhere. */
void peers_set_members(struct peers *peers, const struct membership *membership);

/* To message->to, on `control`, with all others of this turn in one frame. Dropped (and counted)
 * without a connection, or over LIMIT_PEER_CONTROL_BYTES_MAX unsent. */
void peers_send(struct peers *peers, const struct raft_message *message);
/* `bulk` is up and has less than LIMIT_PEER_UNSENT_BYTES_MAX unsent. */
bool peers_has_room(const struct peers *peers, uint64_t number);
/* `entries` as peer_entries_begin/add made them for this message. False: not sent, no room. */
bool peers_send_entries(struct peers *peers, uint64_t number, const struct buffer *entries);
/* A call on `bulk` (bus_call's codes). */
int peers_call(struct peers *peers, uint64_t number, uint16_t type, const struct buffer *body,
               uint64_t deadline_ms, bus_reply_fn *fn, void *context);
void peers_reply(struct peers *peers, const struct bus_route *route, uint16_t type,
                 const struct buffer *body);
void peers_send_state(struct peers *peers, uint64_t number, const struct peer_state *state);
void peers_send_diverged(struct peers *peers, uint64_t number, uint64_t index);
/* Sends what was queued. Call at turn end. */
void peers_flush(struct peers *peers);

/* Asks whoever is at `address` ("host:port") to join, over a connection of its own; again and again
 * until somebody answers, so INVITE may come twice. `fn` once, from the loop: with the answer, or
 * REFUSED and why, or at the deadline UNREACHABLE and why (it may have agreed all the same). One at
 * a time: -EBUSY; else -EINVAL: no such address. */
typedef void peers_invited_fn(void *context, const struct invited *invited);
int peers_invite(struct peers *peers, const char *address, const struct invite *invite,
                 uint64_t deadline_ms, peers_invited_fn *fn, void *context);

/* For peer_entries_begin. */
struct peer_message peers_wire_of(const struct raft_message *message);

struct peers_counters {
    bool is_connected; /* both connections to it */
    uint64_t messages_sent, messages_dropped, entries_sent, bytes_unsent, connects;
    uint64_t round_trip_us; /* of the last PING */
};
/* Zeros for a number that is no member. */
struct peers_counters peers_counters(const struct peers *peers, uint64_t number);

/* The numbers of the messages that are handled here, ending with 0: for tests. */
const uint16_t *peers_handled(void);
