/* Who this node is, in raft/identity, written once. Owner: raftd.
 *
 *   body: 16 bytes cluster id, u64 incarnation, u64 member number, text node id
 *
 * The incarnation is random: a disk that was wiped and filled under an old name is another node,
 * not the old one. */
#pragma once

#include "error.h"
#include "limits.h"

#include <stdint.h>

struct identity {
    uint8_t cluster_id[16];
    uint64_t incarnation;
    uint64_t member_number; /* in configurations; 0: not in a cluster yet */
    char node_id[LIMIT_NODE_ID_BYTES_MAX + 1];
};

/* A new identity as member 1 of a new cluster. */
int identity_make(struct identity *ret_identity, const char *node_id);
int identity_save(const struct identity *identity);
/* 0, -ENOENT if there is none; -EPROTO if it names another node; else with the line. */
int identity_load(struct identity *ret_identity, const char *node_id, struct error *error);
