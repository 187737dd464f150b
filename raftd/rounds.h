/* READ_INDEX calls between their arrival and their answer. Each gets a number never used again (a
 * late answer can never meet another call). Owner: raftd. */
#pragma once

#include "bus.h"
#include "consensus.h"
#include "propose.h"

struct rounds;

struct rounds *rounds_new(struct consensus *consensus, struct bus_server **server);
void rounds_free(struct rounds *rounds);
void rounds_take(struct rounds *rounds, const struct bus_route *route,
                 const struct leader_hint *hint);
/* This node does not lead any more: every call that waits is refused. */
void rounds_on_leadership_lost(struct rounds *rounds, const struct leader_hint *hint);
void rounds_on_index(struct rounds *rounds, uint64_t read, uint64_t index);
