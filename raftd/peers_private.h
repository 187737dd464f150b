/* The parts of the transport: members and what is sent to them (peers.c), the connections to one of
 * them (peers_link.c), who calls here (peers_callers.c), strangers that are asked to join
 * (peers_invite.c). Private to them. */
#pragma once

#include "peers.h"

#define PEERS_GUESTS_MAX RAFT_MEMBERS_MAX /* more are heard, but not dialled back */
#define PEERS_MAX (3 * RAFT_MEMBERS_MAX)  /* members, those of the time before, and guests */

enum { CONTROL, BULK, LINKS };

/* ---- one other raftd ---- */

struct peer_link {
    struct peer *peer;
    struct bus_client *client; /* NULL: to be dialled */
    uint64_t ping_us;          /* when it was sent; 0: none is on its way */
    uint64_t ping_due_ms;
    uint64_t ping_written_bytes; /* what had been written then */
};

struct peer {
    struct peers *peers;
    uint64_t number;
    bool is_member; /* else a guest */
    bool is_stale;  /* hang up, and dial anew (is_gone: do not) at the next settling */
    bool is_gone;
    char id[LIMIT_NODE_ID_BYTES_MAX + 1];
    char listed[LIMIT_ADDRESS_BYTES_MAX];  /* the membership's; empty for a guest */
    char told[LIMIT_ADDRESS_BYTES_MAX];    /* by itself, since then; may be empty */
    char address[LIMIT_ADDRESS_BYTES_MAX]; /* one of the two: the one that is dialled */
    uint64_t address_ms;                   /* since when */
    char refusal[128];                     /* the reason told last: each is logged once */
    uint64_t up_ms;                        /* when `control` was up last; 0: absence was told */
    uint64_t called_ms;                    /* when it had a connection to here last */
    struct peer_link links[LINKS];
    struct buffer queued; /* RAFT of this turn */
    struct peers_counters counters;
};

/* False for NULL. */
bool peer_is_up(const struct peer *peer, int link);
/* Frees peer->links' clients, their calls and on_lost included. Not from a callback of the bus. */
void peer_hang_up(struct peer *peer);
void peer_dial(struct peer *peer);
void peer_ping(struct peer *peer);
/* Logs once that it cannot be connected to, and why. */
void peer_tell_absence(struct peer *peer, uint64_t now_ms);

/* ---- who calls here ---- */

/* Connections of one caller and channel: the number the bus knows them by is their place. */
struct caller {
    uint64_t number;
    enum peer_channel channel;
    uint32_t links_count; /* 0: the place is free */
    uint64_t boot_epoch;  /* of the process, and where it says it is: as it greeted last */
    char raft_address[LIMIT_ADDRESS_BYTES_MAX];
};

/* ---- a stranger ---- */

struct invitation {
    struct bus_client *client; /* NULL: none is under way */
    struct loop_timer deadline, end;
    char address[LIMIT_ADDRESS_BYTES_MAX];
    struct invite invite;
    struct invited answer;
    peers_invited_fn *fn;
    void *context;
};

void peers_invite_free(struct peers *peers);

/* ---- all ---- */

struct peers {
    struct peers_options options;
    struct peers_self self;
    uint64_t boot_epoch;
    struct bus_server *server;
    struct peer *list[PEERS_MAX]; /* NULL: free */
    struct loop_timer tick_timer, settle_timer;
    struct caller callers[LIMIT_BUS_PEERS_MAX];
    char refusal[128]; /* told to a caller last: each is logged once a minute */
    uint64_t refusal_ms;
    struct invitation invitation;
};

/* NULL: neither member nor guest. */
struct peer *peers_find(const struct peers *peers, uint64_t number);
/* It greeted as a member, from a node that says where it is. */
void peers_met(struct peers *peers, const struct peer_hello *caller);
bool peers_is_calling(const struct peers *peers, uint64_t number);
int peers_listen(struct peers *peers, struct error *error);
/* Members that greeted this node as who it was. */
void peers_drop_callers(struct peers *peers);
void peers_url(char into[LIMIT_URL_BYTES_MAX], const char *address);
/* The body of this node's HELLO or WELCOME to `meant`. */
void peers_hello(const struct peers *peers, enum peer_channel channel, uint64_t meant,
                 struct buffer *into);
struct raft_message peers_core_of(const struct peer_message *message);
