/* Who is in the cluster: the CONFIGURATION entry, and its shadow in the core. Owner: raftd.
 *
 *   entry: u32 count, count x { u64 number, u8 voter, text id, text raft address, text http url }
 */
#pragma once

#include "buffer.h"
#include "limits.h"
#include "raft.h"
#include "status.h"
#include "wire.h"

_Static_assert(STATUS_SERVERS_MAX == RAFT_MEMBERS_MAX, "a status shows every member");
_Static_assert(LIMIT_NODE_ID_BYTES_MAX + LIMIT_ADDRESS_BYTES_MAX + LIMIT_URL_BYTES_MAX + 32 <
                   LIMIT_CONFIGURATION_BYTES_MAX,
               "a cluster of one always fits");

struct membership {
    uint64_t index; /* of its entry; 0: there is none yet */
    uint32_t count;
    uint64_t numbers[RAFT_MEMBERS_MAX]; /* identity.h */
    struct raft_server servers[RAFT_MEMBERS_MAX];
};

void membership_encode(struct buffer *into, const struct membership *membership);
/* Whether its entry stays within LIMIT_CONFIGURATION_BYTES_MAX: a larger one must not be proposed.
 */
bool membership_fits(const struct membership *membership);
/* 0 or -EPROTO; the index is left to the caller. */
int membership_decode(struct wire_reader *body, struct membership *ret_membership);
void membership_to_core(const struct membership *membership,
                        struct raft_configuration *configuration);
/* The same members at the same addresses; their entry may be another. */
bool membership_is_same(const struct membership *a, const struct membership *b);
/* By number; NULL if there is none. */
const struct raft_server *membership_server(const struct membership *membership, uint64_t number);
