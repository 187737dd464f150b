/* A request to the cluster: redirects to the leader are followed, and where a node is not available
 * the next one is asked, as far as that is safe (outcome.h). */
#pragma once

#include "exchange.h"
#include "url.h"

struct client {
    struct exchange *exchange;
    char preferred[LIMIT_URL_BYTES_MAX]; /* the server that answered last is asked first */
    struct exchange_answer answer;       /* of the last call */
};

struct client_request {
    const char *method;
    const char *path; /* with its query */
    const char *body; /* NULL: none */
    size_t body_bytes;
    bool is_write;
    bool is_change;                    /* of members or leader: 502 is about the other node */
    const struct url_servers *servers; /* NULL: the options' (ask.h) */
    uint64_t timeout_ms;               /* for all of it; 0: as above */
    const char *header;                /* these as in exchange.h; the header is read for each try */
    exchange_take_fn *take;
    void *take_context;
};

/* -ENOMEM if libcurl cannot be set up. `interrupted`: see exchange_new. */
int client_open(struct client *client, const volatile sig_atomic_t *interrupted);
void client_close(struct client *client);

enum client_result {
    CLIENT_ANSWERED = 0, /* client->answer holds it, whatever its status */
    CLIENT_UNAVAILABLE,  /* no server could be asked */
    CLIENT_UNKNOWN,      /* a write that may or may not have been applied */
    CLIENT_INTERRUPTED,  /* a read, by the user */
    CLIENT_FAILED,       /* the answer cannot be used */
};

/* On all but CLIENT_ANSWERED, `error` says why. */
enum client_result client_call(struct client *client, const struct client_request *request,
                               struct error *error);
