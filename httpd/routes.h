/* What can be asked for: path and methods to handler, one table (routes.c). Owner: httpd. */
#pragma once

#include "request.h"

enum method {
    METHOD_GET = 1,
    METHOD_HEAD = 2,
    METHOD_PUT = 4,
    METHOD_DELETE = 8,
    METHOD_POST = 16,
    METHOD_OTHER = 32,
};

/* Called when the request is complete. It answers, or puts the request into a room where it waits.
 */
typedef void route_handler(struct request *request);
/* Called when the headers are complete, to refuse early; may be NULL. Answers or does nothing. */
typedef void route_checker(struct request *request);

struct route {
    const char *path;
    unsigned methods;
    bool takes_key_path;           /* also with a key behind it: /kv/K */
    const char *const *parameters; /* known query parameters; ends with NULL */
    route_checker *check;
    route_handler *handler;
};

unsigned method_of(const char *name);
/* "GET, HEAD, ...", of a set of methods. */
const char *method_list(unsigned methods, char *into, size_t into_bytes);

/* The table; ends with a NULL path. */
extern const struct route routes[];
/* The route of the parsed target, or NULL. */
const struct route *route_of(const struct uri *uri);

/* ---- handlers ---- */
void kv_check(struct request *request);           /* kv.c */
void kv_handle(struct request *request);          /* kv.c */
void status_handle(struct request *request);      /* inquiries.c */
void raft_config_handle(struct request *request); /* inquiries.c */
void raft_stats_handle(struct request *request);  /* inquiries.c */
void livez_handle(struct request *request);       /* inquiries.c */
void readyz_handle(struct request *request);      /* inquiries.c */
