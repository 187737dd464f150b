/* PROPOSE batches between their arrival and their RESULT. Owner: raftd.
 *
 * Batches are answered in the order of their entries, which is that of their arrival. What storaged
 * answered for each command is passed on unread. storaged's restarts do not show here: its entries
 * are applied again, and the results are the same (applying is a pure function). */
#pragma once

#include "bus.h"
#include "consensus.h"
#include "propose.h"

struct proposals;

struct proposals *proposals_new(struct consensus *consensus, struct bus_server **server);
void proposals_free(struct proposals *proposals);

/* Takes a decoded PROPOSE: it is appended, or refused at once with one status for all of its
 * records. With no room to grow, those that may use the reserve are taken and the others refused.
 */
void proposals_take(struct proposals *proposals, const struct bus_route *route,
                    struct message_list list, size_t body_bytes, const struct leader_hint *hint);
/* Answers a PROPOSE of which nothing was or will be done. */
void proposals_refuse(struct proposals *proposals, const struct bus_route *route, uint32_t count,
                      uint16_t status, const struct leader_hint *hint);
/* storaged's result for the entry of this index, in index order; those nobody waits for are passed
 * over. */
void proposals_on_applied(struct proposals *proposals, uint64_t index, const uint8_t *result,
                          size_t result_bytes);
/* storaged is at `index` already, but its results up to there were lost on the way: they are
 * unknown. */
void proposals_on_skipped(struct proposals *proposals, uint64_t index);
/* Entries from `index` on are not in the log any more: what becomes of them is not known here. */
void proposals_on_truncated(struct proposals *proposals, uint64_t index);
/* What storaged said of its health last: NO_SPACE, and nothing is taken that lets it grow. */
void proposals_on_store_health(struct proposals *proposals, uint16_t health);
bool proposals_is_empty(const struct proposals *proposals);
