/* httpd -> raftd: who belongs to the cluster, and who leads it. One reply for all three calls.
 *
 *   JOIN:       text id, text raft address      adds that node: answered once it votes
 *   REMOVE:     text id
 *   TRANSFER:   text id                         empty: raftd chooses who leads next
 *   MEMBERS_OK: u16 status, hint, text reason   (hint: propose.h) */
#pragma once

#include "buffer.h"
#include "limits.h"
#include "propose.h"
#include "wire.h"

#include <stdint.h>

#define MEMBERS_REASON_BYTES_MAX 512u /* one line for people, with its NUL; cut */

struct join {
    char id[LIMIT_NODE_ID_BYTES_MAX + 1];
    char raft_address[LIMIT_ADDRESS_BYTES_MAX]; /* host:port */
};

void join_encode(struct buffer *into, const struct join *join);
/* 0, or -EPROTO: no such message, or an empty id or address. */
int join_decode(struct wire_reader *body, struct join *ret_join);

struct member_name {
    char id[LIMIT_NODE_ID_BYTES_MAX + 1];
};

void remove_encode(struct buffer *into, const struct member_name *name);
int remove_decode(struct wire_reader *body, struct member_name *ret_name);
void transfer_encode(struct buffer *into, const struct member_name *name);
int transfer_decode(struct wire_reader *body, struct member_name *ret_name);

struct members_reply {
    /* OK; NOT_LEADER (see the hint), UNAVAILABLE (no leader), BUSY (another change is under way),
     * NOT_FOUND (no member of this id), REFUSED (the node asked to join said no, or it cannot be
     * done; see the reason), UNREACHABLE (that node): nothing was or will be done. UNKNOWN: under
     * way, and not known to be done. */
    uint16_t status;
    struct leader_hint hint;
    char reason[MEMBERS_REASON_BYTES_MAX]; /* may be empty */
};

void members_ok_encode(struct buffer *into, const struct members_reply *reply);
int members_ok_decode(struct wire_reader *body, struct members_reply *ret_reply);
