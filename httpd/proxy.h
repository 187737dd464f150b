/* follower_mode proxy: requests passed on to the leader, once each, and its answers passed back.
 *
 * libcurl's multi interface in httpd's own loop: its sockets are watched and its clock kept there.
 * Connections to the leader are kept and used again. Invariant 8: a write goes out at most once,
 * also where libcurl would by itself send it again. The header HTTPD_FORWARDED_HEADER marks what
 * was passed on: nobody passes it on again. */
#pragma once

#include "dispatch.h"
#include "error.h"
#include "request.h"

struct proxy;

/* Errors: negative errno with a line. */
int proxy_new(struct proxy **ret_proxy, struct httpd *httpd, struct error *error);
/* No request may be waiting any more. */
void proxy_free(struct proxy *proxy);
/* `leader_url`: http://host:port. The request's body must be whole. */
void proxy_forward(struct proxy *proxy, struct request *request, const char *leader_url,
                   uint64_t wait_ms);
/* The same before the body comes, of a known length: forward.h takes it. NULL: there are too many.
 */
struct forward *proxy_begin_upload(struct proxy *proxy, struct request *request,
                                   const char *leader_url);
/* How many are on their way. */
unsigned proxy_forwards(const struct proxy *proxy);
/* Answers all that wait, and cuts the answers that are under way. */
void proxy_finish(struct proxy *proxy);
