#include "session.h"

#include <check.h>
#include <string.h>

#define REDIRECTS_MAX 4u

void session_open(struct session *session, const struct node *nodes, const unsigned *count,
                  unsigned timeout_ms)
{
    *session = (struct session){.nodes = nodes, .count = count, .timeout_ms = timeout_ms};
}

void session_close(struct session *session)
{
    for (unsigned i = 0; i < SESSION_NODES_MAX; i++)
        if (session->clients[i])
            client_free(session->clients[i]);
    *session = (struct session){0};
}

struct answer session_ask(struct session *session, unsigned via, const char *method,
                          const char *target, const void *body, size_t body_bytes,
                          const char *header)
{
    struct client **client = &session->clients[via];
    if (!*client) {
        *client = client_new(session->nodes[via].url, session->timeout_ms);
        client_send_once(*client);
    }
    session->answered_by = via;
    return client_do(*client, method, target, body, body_bytes, header);
}

/* The node that serves this URL, or -1. */
static int node_of(const struct session *session, const char *location, const char *target)
{
    for (unsigned i = 0; i < *session->count; i++) {
        size_t length = strlen(session->nodes[i].url);
        if (!strncmp(location, session->nodes[i].url, length) && !strcmp(location + length, target))
            return (int)i;
    }
    return -1;
}

struct answer session_do(struct session *session, unsigned via, const char *method,
                         const char *target, const void *body, size_t body_bytes,
                         const char *header)
{
    session->redirects = 0;
    for (;;) {
        struct answer answer = session_ask(session, via, method, target, body, body_bytes, header);
        if (answer.status != 307 || session->redirects == REDIRECTS_MAX)
            return answer;
        int next = node_of(session, answer.location, target);
        if (next < 0) {
            answer.status = -1;
            return answer;
        }
        session->redirects++;
        via = (unsigned)next;
    }
}
