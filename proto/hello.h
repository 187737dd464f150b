/* HELLO and WELCOME, the first exchange on every edge; both have this body:
 *
 *   u16 lowest message version spoken, u16 highest, u8 role, u64 boot epoch, text node id */
#pragma once

#include "buffer.h"
#include "error.h"
#include "limits.h"
#include "message.h"
#include "wire.h"

struct hello {
    uint16_t version_min, version_max;
    enum proto_role role;
    uint64_t boot_epoch;
    char node_id[LIMIT_NODE_ID_BYTES_MAX + 1];
};

/* This build's versions, the role and the rest as given. */
struct hello hello_of(enum proto_role role, uint64_t boot_epoch, const char *node_id);
void hello_encode(struct buffer *into, const struct hello *hello);
/* 0 or -EPROTO. */
int hello_decode(struct wire_reader *body, struct hello *ret_hello);
/* 0 if their versions overlap; -EPROTO and a line else. */
int hello_check_version(const struct hello *own, const struct hello *peer, struct error *error);
/* 0 if the two may talk: versions overlap, both are of one node, `peer` has an allowed role
 * (PROTO_ROLE_ANY: each). -EPROTO and a line else. */
int hello_check(const struct hello *own, const struct hello *peer, enum proto_role role_allowed,
                struct error *error);
