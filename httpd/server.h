/* The HTTP library's side: libmicrohttpd without threads, its epoll descriptor in our loop. Owner:
 * httpd. */
#pragma once

#include "error.h"
#include "httpd.h"

struct server;

/* Serves on the listening socket (non-blocking or not). Errors with a line. */
int server_new(struct server **ret_server, struct httpd *httpd, int listen_fd, struct error *error);
/* Lets the library work if there is anything to do: reads requests, calls handlers, writes answers.
 * Call at turn end, before the rooms send. */
void server_run(struct server *server);
/* Accepts nothing more; the socket stays open (the launcher's next httpd takes over what waits
 * there). */
void server_drain(struct server *server);
unsigned server_connections(const struct server *server);
/* Closes what is left. No request may be waiting. */
void server_free(struct server *server);
/* The socket inherited, or one bound to the configured address. */
int server_listen(const struct config *config, int *ret_fd, struct error *error);
