/* What raftd and storaged say of themselves: RAFT_STATUS_OK and STORE_STATUS_OK. The asking
 * messages are empty.
 *
 * Fields are encoded in the order they stand in the structs, each server with its peer behind it;
 * texts as u32 length + bytes. */
#pragma once

#include "buffer.h"
#include "limits.h"
#include "propose.h"
#include "wire.h"

#include <stdbool.h>
#include <stdint.h>

#define STATUS_SERVERS_MAX 16u

enum raft_state { RAFT_STATE_FOLLOWER = 1, RAFT_STATE_CANDIDATE = 2, RAFT_STATE_LEADER = 3 };

struct raft_server {
    char id[LIMIT_NODE_ID_BYTES_MAX + 1];
    char raft_address[LIMIT_ADDRESS_BYTES_MAX];
    char http_url[LIMIT_URL_BYTES_MAX];
    bool voter; /* else staging */
};

/* What the node that was asked knows of a server as its peer: zeros of itself. */
struct raft_peer {
    bool connected;
    uint64_t match_index;   /* the leader's: durable there */
    uint64_t silence_ms;    /* the leader's: since it was heard */
    uint64_t round_trip_us; /* of the last ping */
    uint64_t messages_sent, messages_dropped, entries_sent, connects;
};

struct raft_status {
    char node_id[LIMIT_NODE_ID_BYTES_MAX + 1];
    char cluster_id[33]; /* 32 hex digits; empty before there is a cluster */
    uint8_t state;       /* enum raft_state */
    uint64_t term;
    struct leader_hint leader;
    uint64_t first_log_index;
    uint64_t last_log_index;
    uint64_t last_log_term;
    uint64_t commit_index;
    uint64_t applied_index;
    uint64_t durable_index; /* storaged's */
    uint64_t last_snapshot_index;
    uint64_t last_snapshot_term;
    uint64_t last_contact_ms; /* since the leader was last heard; 0 on the leader */
    uint64_t configuration_index;
    uint64_t log_bytes;
    uint64_t syncs;             /* of the log since this start */
    uint64_t entries_written;   /* since this start */
    uint64_t diverged_index;    /* 0, or where this node's state hash was found to differ */
    uint64_t state_differences; /* of others, found here as leader */
    bool storaged_up;
    bool settled; /* it has a cluster that it would give up for no other */
    bool seeks;   /* it is new, and looks for one: it takes nobody in, */
    bool founds;  /* unless it is the one the others come to */
    uint32_t servers_count;
    struct raft_server servers[STATUS_SERVERS_MAX];
    struct raft_peer peers[STATUS_SERVERS_MAX]; /* of `servers`, one by one */
};

void raft_status_encode(struct buffer *into, const struct raft_status *status);
int raft_status_decode(struct wire_reader *body, struct raft_status *ret_status);

struct store_status {
    uint16_t health; /* PROTO_STATUS_OK, DAMAGED or NO_SPACE */
    char health_text[256];
    uint64_t applied_index;
    uint64_t applied_term;
    uint64_t durable_index;
    uint64_t keys;
    uint64_t file_bytes;
    uint64_t dirty_bytes; /* waiting for a checkpoint */
    uint64_t checkpoints; /* since this start */
    uint8_t state_hash[16];
};

void store_status_encode(struct buffer *into, const struct store_status *status);
int store_status_decode(struct wire_reader *body, struct store_status *ret_status);
