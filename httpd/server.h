/* The HTTP server: libmicrohttpd in the loop, its connections, and their orderly end.
 *
 *   SERVING --server_drain--> DRAINING --no connection left, or time is up--> `on_drained` */
#pragma once

#include "dispatch.h"
#include "error.h"
#include "loop.h"

struct server;

/* Serves connections of `listen_fd`, which stays the caller's, once the edges are up, or after
 * HTTPD_HOLD_MS_MAX without them: who comes before waits in the socket's queue. Errors: negative
 * errno with a line.
 */
int server_new(struct server **ret_server, struct httpd *httpd, int listen_fd, struct error *error);
void server_on_edges_up(struct server *server);
/* No request may be waiting for an edge any more. */
void server_free(struct server *server);

unsigned server_connections(const struct server *server);

/* Something was resumed, answered or taken: libmicrohttpd runs at the end of this turn, or in the
 * next. */
void server_wake(struct server *server);

/* A request waits in place (request.h). While more than HTTPD_IN_PLACE_MAX do, those that are asked
 * again are to be suspended. */
void server_begin_waiting(struct server *server);
bool server_is_crowded(const struct server *server);
void server_end_waiting(struct server *server);

/* To be called at each turn's end: first before the requests' senders, then after them. */
void server_run(struct server *server);
void server_check(struct server *server);

/* Accepts no more (who comes now waits in the listening socket's queue for its next owner), answers
 * what it has, and closes each connection behind its answer. Calls `on_drained` with the httpd once
 * no connection is left or HTTPD_DRAIN_MS_MAX are over, at a turn's end. */
void server_drain(struct server *server, loop_fn *on_drained);
