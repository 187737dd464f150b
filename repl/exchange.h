/* One HTTP request to one server, and its answer: libcurl behind a narrow door. Follows nothing and
 * retries nothing; client.h decides. */
#pragma once

#include "buffer.h"
#include "error.h"
#include "outcome.h"
#include "repl_limits.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

struct exchange; /* keeps connections open between requests */

/* Takes bytes of an answer with status 200 as they come; `length` 0: another answer may begin.
 * False: no more of it is wanted (OUTCOME_INTERRUPTED). */
typedef bool exchange_take_fn(void *context, const char *bytes, size_t length);

struct exchange_request {
    const char *method;
    const char *url;
    const char *body; /* NULL: none */
    size_t body_bytes;
    bool is_write;
    uint64_t timeout_ms;
    const char *header;     /* one more, "Name: value"; NULL or "": none */
    exchange_take_fn *take; /* NULL: into the answer. Else the answer may last for ever, but not be
                               silent for REPL_SILENCE_S_MAX */
    void *take_context;
};

/* Zero-initialised; used again and again. */
struct exchange_answer {
    long status;
    struct buffer body;
    char location[REPL_URL_BYTES_MAX]; /* of a redirect; "" if there is none */
    char revision[32];                 /* from ETag; "" if there is none */
};

/* `interrupted`, set by a signal handler, ends a request; NULL: none does. It must live as long.
 * Returns NULL if libcurl cannot be set up. */
struct exchange *exchange_new(const volatile sig_atomic_t *interrupted);
void exchange_free(struct exchange *exchange);

/* Fills `answer` if OUTCOME_ANSWERED, else `error` with the server and the reason. */
enum outcome exchange_run(struct exchange *exchange, const struct exchange_request *request,
                          struct exchange_answer *answer, struct error *error);
