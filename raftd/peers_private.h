/* What peers.c (members) and peers_invite.c (strangers) share. Private to them. */
#pragma once

#include "peers.h"

#define PEERS_MAX (2 * RAFT_MEMBERS_MAX) /* members, and guests */

struct invitation {
    struct bus_client *client; /* NULL: none is under way */
    struct loop_timer deadline;
    struct loop_task end;
    struct invite invite;
    struct invited answer;
    peers_invited_fn *fn;
    void *context;
};

struct peers {
    struct peers_options options;
    struct peers_self self;
    uint64_t boot_epoch;
    struct bus_server *server;
    struct peer *list[PEERS_MAX]; /* NULL: free */
    uint64_t
        callers[LIMIT_BUS_PEERS_MAX]; /* members that said HELLO: by the number the bus knows */
    uint32_t callers_next;
    struct loop_timer ping_timer;
    struct invitation invitation;
};

/* The HELLO of this node to `meant`. */
void peers_hello(const struct peers *peers, enum proto_role role, uint64_t meant,
                 struct buffer *into);
void peers_url(char into[LIMIT_URL_BYTES_MAX], const char *address);
