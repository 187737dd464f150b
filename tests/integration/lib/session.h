/* One user of a cluster: a connection to each node, and redirects followed from node to node. */
#pragma once

#include "client.h"
#include "node.h"

#define SESSION_NODES_MAX 8u

struct session {
    const struct node *nodes;
    const unsigned *count; /* may grow */
    unsigned timeout_ms;
    struct client *clients[SESSION_NODES_MAX];
    unsigned answered_by; /* the node the last answer came from */
    unsigned redirects;   /* followed for the last answer */
};

void session_open(struct session *session, const struct node *nodes, const unsigned *count,
                  unsigned timeout_ms);
void session_close(struct session *session);

/* As client_do, at node `via` (an index). A redirect is followed, at most 4 times: to a node of the
 * cluster, with the same path and query, or the answer's status is -1. */
struct answer session_do(struct session *session, unsigned via, const char *method,
                         const char *target, const void *body, size_t body_bytes,
                         const char *header);
/* The same without following. */
struct answer session_ask(struct session *session, unsigned via, const char *method,
                          const char *target, const void *body, size_t body_bytes,
                          const char *header);
