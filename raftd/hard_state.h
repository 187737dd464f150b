/* What consensus may not forget, in raft/hard_state: term and vote, and what was cut from the log.
 * Owner: raftd.
 *
 *   body: u64 term, u64 vote, u64 cut index, u64 cut term, u64 membership index, membership */
#pragma once

#include "error.h"
#include "membership.h"

struct hard_state {
    struct raft_hard_state raft;
    uint64_t cut_index, cut_term; /* the last entry that may be missing from the log; 0: none */
    struct membership membership; /* as of the cut */
};

/* Durable when it returns 0. A negative errno must end the process (invariant 7). */
int hard_state_save(const struct hard_state *state);
/* 0, -ENOENT if there is none, else with the line. */
int hard_state_load(struct hard_state *ret_state, struct error *error);
