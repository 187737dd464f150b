/* The message table (messages.def) as C: numbers, names, allowed senders and addressees, and the
 * status codes that cross sockets. */
#pragma once

#include "limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum proto_message {
#define MESSAGE(number, name, from, to, kind, body_bytes_max) PROTO_##name = number,
#include "messages.def"
#undef MESSAGE
};

/* Who a process is on the edges: the number given for a peer by hello_decode. */
enum proto_role {
    PROTO_ROLE_ANY = 0,
    PROTO_ROLE_STORAGED = 1,
    PROTO_ROLE_RAFTD = 2,
    PROTO_ROLE_HTTPD = 3,
    PROTO_ROLE_TOOL = 4,    /* tests and diagnosis: may only send what ANY may send */
    PROTO_ROLE_MEMBER = 5,  /* raftd of another node of this cluster */
    PROTO_ROLE_INVITER = 6, /* raftd of a cluster that has no member here yet, and asks for one */
};

enum proto_kind { PROTO_KIND_CALL = 1, PROTO_KIND_REPLY = 2, PROTO_KIND_CAST = 3 };

struct proto_entry {
    uint16_t number;
    const char *name;
    enum proto_role from, to;
    enum proto_kind kind;
    uint32_t body_bytes_max;
};

/* The entry, or NULL for a number that is not in the table. */
const struct proto_entry *proto_entry_of(uint16_t number);
/* The table itself, for tests that walk it; ends with number 0. */
const struct proto_entry *proto_table(void);
/* True if the table lets `from` send this call, of this many body bytes, to `to`. */
bool proto_call_allowed(uint16_t number, enum proto_role from, enum proto_role to,
                        size_t body_bytes);
const char *proto_role_name(enum proto_role role);

/* errno never crosses a socket; these do. Numbers are never reused. */
enum proto_status {
    PROTO_STATUS_OK = 0,
    PROTO_STATUS_NOT_FOUND = 1,        /* no such key */
    PROTO_STATUS_CONDITION_FAILED = 2, /* If-Match and the like did not hold; nothing changed */
    PROTO_STATUS_TOO_LARGE = 3,        /* over a limit; nothing changed */
    PROTO_STATUS_BUSY = 4,             /* a queue is full; nothing was or will be done */
    PROTO_STATUS_NOT_LEADER = 5,       /* nothing was or will be done here; see the leader hint */
    PROTO_STATUS_UNAVAILABLE = 6,      /* cannot serve now; nothing was or will be done */
    PROTO_STATUS_UNKNOWN = 7,          /* may or may not have been, or be, done */
    PROTO_STATUS_BAD_REQUEST = 8,      /* a message or command that makes no sense */
    PROTO_STATUS_DAMAGED = 9,          /* stored bytes failed their checksum */
    PROTO_STATUS_AGAIN = 10,           /* left out of this reply for its size: ask again for it */
    PROTO_STATUS_TIMEOUT = 11,         /* a read could not be served in its time */
    PROTO_STATUS_GAP = 12,             /* APPLY did not begin at applied index + 1 */
    PROTO_STATUS_NOT_GREETED = 13,     /* a call before HELLO */
    PROTO_STATUS_STALE_EPOCH = 14,     /* meant for a process that is gone */
    PROTO_STATUS_NO_SPACE = 15,        /* the disk is full: nothing was stored; reads go on */
    PROTO_STATUS_REFUSED = 16,         /* the other side said no, with a reason; nothing changed */
    PROTO_STATUS_UNREACHABLE = 17,     /* the other side could not be asked; nothing changed */
};
const char *proto_status_name(unsigned status);
