/* raftd <-> raftd of other nodes.
 *
 *   HELLO, WELCOME: blob the hello (hello.h), 16 bytes cluster id, u64 own number, u64 number meant
 *                   (0: whoever is there), u8 channel, text raft address, text http url
 *   INVITE:         16 bytes cluster id, u64 number expected (0: any), text node id
 *   INVITED:        u16 status, text reason, u64 number, text node id, text http url
 *   RAFT:           u32 count, count x message (without entries)
 *   ENTRIES:        message, u32 count, count x { u64 term, u8 kind, blob data }
 *   PING, PONG:     empty
 *   STATE:          u64 applied index, 16 bytes hash, u64 mark index, 16 bytes mark hash
 *   DIVERGED:       u64 index
 *   message:        u8 type, u64 from, to, term, index, log term, rejected, commit, round, u32
 * count, u8 ok, u8 transfer
 *
 * RAFT, ENTRIES, STATE and DIVERGED have no reply: raft's own messages are the answers. */
#pragma once

#include "apply.h"
#include "buffer.h"
#include "hello.h"
#include "limits.h"
#include "propose.h"
#include "wire.h"

#define PEER_REASON_BYTES_MAX 400u

/* A caller has one connection of each kind; a later one takes the place of an earlier. */
enum peer_channel {
    PEER_INVITATION = 1, /* role INVITER; the others: MEMBER */
    PEER_CONTROL = 2,    /* what must never wait */
    PEER_BULK = 3,       /* entries, snapshots */
};

struct peer_hello {
    struct hello hello;
    uint8_t cluster_id[16];
    uint64_t number;                            /* the sender's; 0: it is in no cluster */
    uint64_t meant;                             /* the addressee's; 0: whoever is there */
    enum peer_channel channel;                  /* a WELCOME repeats it, or is CONTROL */
    char raft_address[LIMIT_ADDRESS_BYTES_MAX]; /* the sender's */
    char http_url[LIMIT_URL_BYTES_MAX];
};
void peer_hello_encode(struct buffer *into, const struct peer_hello *hello);
/* 0 or -EPROTO. */
int peer_hello_decode(struct wire_reader *body, struct peer_hello *ret_hello);

struct invite {
    uint8_t cluster_id[16];
    uint64_t number; /* of the member this is thought to be; 0: of none yet */
    char node_id[LIMIT_NODE_ID_BYTES_MAX + 1];
};
void invite_encode(struct buffer *into, const struct invite *invite);
int invite_decode(struct wire_reader *body, struct invite *ret_invite);

struct invited {
    uint16_t status; /* OK, REFUSED, UNAVAILABLE, UNREACHABLE */
    char reason[PEER_REASON_BYTES_MAX];
    uint64_t number; /* of whoever answered */
    char node_id[LIMIT_NODE_ID_BYTES_MAX + 1];
    char http_url[LIMIT_URL_BYTES_MAX];
};
void invited_encode(struct buffer *into, const struct invited *invited);
int invited_decode(struct wire_reader *body, struct invited *ret_invited);

enum peer_message_type_limits { PEER_MESSAGE_TYPE_MIN = 1, PEER_MESSAGE_TYPE_MAX = 10 };

/* As struct raft_message (raft.h), of which proto knows nothing. */
struct peer_message {
    uint8_t type;
    uint64_t from, to, term, index, log_term, rejected, commit, round;
    uint32_t count;
    bool ok, transfer;
};
void peer_raft_begin(struct buffer *into);
void peer_raft_add(struct buffer *into, const struct peer_message *message);
uint32_t peer_raft_count(const struct buffer *raft);
int peer_raft_decode(struct wire_reader *body, struct message_list *ret_list);
bool peer_raft_next(struct message_list *list, struct peer_message *ret_message);

/* The message's count is that of the entries. */
void peer_entries_begin(struct buffer *into, const struct peer_message *message);
void peer_entries_add(struct buffer *into, const struct apply_entry *entry);
uint32_t peer_entries_count(const struct buffer *entries);
int peer_entries_decode(struct wire_reader *body, struct peer_message *ret_message,
                        struct message_list *ret_list);
bool peer_entries_next(struct message_list *list, struct apply_entry *ret_entry);

struct peer_state {
    uint64_t applied_index;
    uint8_t hash[16]; /* of the state at it */
    uint64_t mark_index;
    uint8_t mark_hash[16];
};
void peer_state_encode(struct buffer *into, const struct peer_state *state);
int peer_state_decode(struct wire_reader *body, struct peer_state *ret_state);
void peer_diverged_encode(struct buffer *into, uint64_t index);
int peer_diverged_decode(struct wire_reader *body, uint64_t *ret_index);
