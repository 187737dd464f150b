/* What consensus may not forget, in raft/hard_state: who this node is, term and vote, what was cut
 * from the log, and an install that is under way. Owner: raftd.
 *
 *   body: 16 bytes cluster id, u64 number, text node id, u64 term, u64 vote, u64 cut index,
 *         u64 cut term, u64 membership index, blob membership, u8 installing; if it is 1:
 *         16 bytes cluster id, u64 index, u64 term, blob membership
 *
 * An install replaces log and store by what a leader sent: a snapshot, or nothing at all (index 0)
 * where this node gives up a cluster of its own for that leader's. It is noted here before the
 * store is replaced and until the log is, so that a start knows which of the two a crash left. */
#pragma once

#include "error.h"
#include "identity.h"
#include "membership.h"

struct install {
    bool is_pending;
    uint8_t cluster_id[16];
    uint64_t index, term;
    struct membership membership;
};

struct hard_state {
    struct identity identity;
    struct raft_hard_state raft;
    uint64_t cut_index, cut_term; /* the last entry that may be missing from the log; 0: none */
    struct membership membership; /* as of the cut */
    struct install install;
};

/* Durable when it returns 0; on a full disk too, in room that is kept for it. A negative errno must
 * end the process (invariant 7). */
int hard_state_save(const struct hard_state *state);
/* 0; -ENOENT if there is none; -EPROTO if it is another node's; else with the line. */
int hard_state_load(struct hard_state *ret_state, const char *node_id, struct error *error);
