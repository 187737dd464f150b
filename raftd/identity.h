/* Who this node is. Owner: raftd. Kept in raft/hard_state.
 *
 * The number is random and made once for a disk: a disk that was wiped and filled under an old name
 * is another member, not the old one. */
#pragma once

#include "limits.h"

#include <stdint.h>

struct identity {
    uint8_t cluster_id[16];
    uint64_t number; /* this node's in configurations, never 0; 0: there is no identity */
    char node_id[LIMIT_NODE_ID_BYTES_MAX + 1];
};

/* A node that belongs to no cluster yet: the cluster id is zeros. -EIO: there is no entropy. */
int identity_make(struct identity *ret_identity, const char *node_id);
/* Founds a cluster: a random id for it. */
int identity_found_cluster(struct identity *identity);
