/* Whether every node has the same state (invariant 11): the state hash that storaged told, compared
 * by the leader at equal applied index. Owner: raftd.
 *
 * storaged tells its hash at the newest applied index, and at the newest that is divisible by 256:
 * a busy node's newest is seldom another's, but they pass the same marks. Followers send both to
 * the leader about each second; it remembers its own. A difference is an alarm: it is logged and
 * counted here, and that node is told, whose /readyz turns red. */
#pragma once

#include "consensus.h"
#include "peers.h"

#define AGREEMENT_PERIOD_MS 1000u
#define AGREEMENT_REMEMBERED 64u /* own hashes: a follower may be so many marks behind */

struct agreement;

struct agreement *agreement_new(struct loop *loop, struct consensus *consensus,
                                struct peers **peers);
void agreement_free(struct agreement *agreement);
/* storaged's word, with each answer of it. */
void agreement_on_applied(struct agreement *agreement, const struct peer_state *state);
void agreement_on_state(struct agreement *agreement, uint64_t from, const struct peer_state *state);
/* The leader says that this node's state differs at `index`. */
void agreement_on_diverged(struct agreement *agreement, uint64_t index);
/* 0, or the index at which this node was found to differ. */
uint64_t agreement_diverged_index(const struct agreement *agreement);
/* Differences found here, as leader. */
uint64_t agreement_differences(const struct agreement *agreement);
