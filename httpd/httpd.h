/* The daemon's rooms and how they hang together. Owner: httpd.
 *
 *   server     the HTTP library's side: connections in, bytes out   (server.h)
 *   guard, uri, routes, kv, reply: what a request means and what it gets
 *   writes     PUT and DELETE to raftd, many in one PROPOSE         (writes.h)
 *   reads      GET: one READ_INDEX for all, then READs to storaged  (reads.h)
 *   inquiries  /status, /raft/..., /readyz                          (inquiries.h)
 *   dispatch   the edges to raftd and storaged                      (dispatch.c)
 *
 * A turn: everything that arrived is read, then the server runs once (which calls the handlers),
 * then each room sends at most one message. */
#pragma once

#include "bus.h"
#include "config.h"
#include "hello.h"
#include "loop.h"

#define HTTPD_EDGES_MS_MAX                                                                         \
    500u /* a start waits this long for raftd and storaged before it accepts */
#define HTTPD_DRAIN_MS_MAX                                                                         \
    2000u /* a stop waits this long for connections to take their last answer */
#define HTTPD_DRAIN_IDLE_MS 300u /* and this long for one that says nothing */
#define HTTPD_READ_GRACE_MS                                                                        \
    250u /* storaged answers "too late" itself; this is for its answer to arrive */

struct httpd {
    struct loop *loop;
    const struct config *config;
    struct hello hello;
    struct server *server;
    struct bus_client *raftd, *storaged;
    struct writes *writes;
    struct reads *reads;
    struct inquiries *inquiries;
    uint64_t bodies_bytes; /* of requests under way: bounded by LIMIT_BODIES_BYTES_MAX */
    bool server_due;       /* the server has something to do in this turn */
    bool draining;
};

/* dispatch.c: dials both edges. */
int httpd_dial(struct httpd *httpd, struct error *error);
/* A reply of this type, decoded by the caller; false if it is another (REFUSED) or did not come. */
bool httpd_is_reply(enum bus_end end, uint16_t type, uint16_t wanted);
