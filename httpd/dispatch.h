/* httpd's edges and messages: the table in dispatch.c says what is sent to whom, what answers it,
 * and who handles the answer. */
#pragma once

#include "bus.h"
#include "config.h"
#include "hello.h"
#include "loop.h"
#include "metrics.h"
#include "propose.h"

struct edge_row;

#define EDGE_CALLS_MAX 32u /* rows of the table in dispatch.c */

enum edge_peer { EDGE_RAFTD, EDGE_STORAGED, EDGES_COUNT };

struct edge {
    struct httpd *httpd;
    enum edge_peer peer;
    struct bus_client *client;
};

struct httpd {
    struct loop *loop;
    const struct config *config;
    struct hello hello; /* what this process says of itself */
    struct edge edges[EDGES_COUNT];
    struct server *server;
    struct writes *writes;
    struct reads *reads;
    struct scans *scans;
    struct watches *watches;
    struct survey *survey;
    struct changes *changes;
    struct proxy *proxy;            /* NULL: follower_mode is another */
    struct leader_hint leader;      /* whom raftd named last, */
    uint64_t leader_known_until_ms; /* and how long that is believed; 0: not at all */
    struct metrics metrics;
    uint64_t edge_calls[EDGE_CALLS_MAX]; /* sent, by their rows in the table */
    size_t bodies_bytes;                 /* reserved by requests, of LIMIT_BODIES_BYTES_MAX */
    bool draining; /* no further request on any connection after the one it carries */
};

/* A call in flight; the first member of what its handler needs to know, owned by the handler. */
struct edge_call {
    const struct edge_row *row;
    struct httpd *httpd;
};

enum edge_end {
    EDGE_REPLIED, /* `body` is the reply's */
    EDGE_REFUSED, /* nothing was or will be done */
    EDGE_LOST,    /* timed out, or the peer is gone: nothing is known */
};

/* Ends a call. `body` is NULL unless EDGE_REPLIED. */
typedef void edge_reply_fn(struct edge_call *call, enum edge_end end, struct wire_reader *body);

/* Dials raftd and storaged. Errors: as bus_client_new. */
int httpd_dial(struct httpd *httpd, struct error *error);
void httpd_hang_up(struct httpd *httpd);

bool edge_is_up(const struct httpd *httpd, enum edge_peer peer);
/* Sends a message of the table. 0: its handler will be called exactly once, from the loop, not from
 * here. BUS_DOWN, BUS_FULL: nothing was sent. */
int edge_call(struct httpd *httpd, uint16_t type, const struct buffer *body, uint64_t deadline_ms,
              struct edge_call *call);

/* What was sent there leaves now, not at the end of the turn. */
void edge_flush(struct httpd *httpd, enum edge_peer peer);

/* The name of the table's row `place` and how many of its calls were sent. False: no such row. */
bool edge_calls_at(const struct httpd *httpd, unsigned place, const char **ret_name,
                   uint64_t *ret_count);

/* Types of the calls and replies in the table, ending with 0: for the test that walks the message
 * table. */
const uint16_t *httpd_handled(void);
