/* One request, from its target to its answer.
 *
 *   HEAD ----> BODY ----> SERVING ----> ANSWERED
 *     |          |        (waits)          ^
 *     +--> REFUSED (body is swallowed) ----+
 *
 * A request lives in its connection and is used again for the next one there. While it waits for an
 * edge it waits in place: asked again and again, it has no answer yet. It may end with its
 * connection before it is answered, and then leaves its list or slot by itself; else whoever holds
 * it (writes, reads, survey) answers it exactly once.
 *
 * Where too many wait, or its memory is still needed, its connection is suspended: libmicrohttpd
 * neither reads from it nor ends it. That costs three system calls, and must not be done in the
 * call that brings the whole request: when the connection is resumed libmicrohttpd would first read
 * on, and a client that has shut its side would be taken for one that is gone. */
#pragma once

#include "buffer.h"
#include "condition.h"
#include "guard.h"
#include "problem.h"
#include "uri.h"

#include <microhttpd.h>
#include <stdbool.h>
#include <sys/queue.h>

struct forward;
struct httpd;
struct range;
struct route;
struct transaction;
struct watching;

enum request_state {
    REQUEST_HEAD,
    REQUEST_BODY,
    REQUEST_REFUSED,
    REQUEST_SERVING,
    REQUEST_ANSWERED,
};

struct request {
    struct httpd *httpd;
    struct MHD_Connection *mhd;
    int fd;
    enum request_state state;
    bool suspended, in_place; /* how it waits */
    uint64_t begun_us;        /* clock_monotonic_us() */
    bool linger;              /* the connection ends with the client still sending */

    const char *target_at; /* where libmicrohttpd keeps the target */
    size_t target_bytes;
    struct buffer target; /* a copy of it with a NUL, and as many bytes for its decoded parts */
    struct uri uri;
    struct guard_findings findings;
    const struct route *route;
    unsigned method; /* enum route_method */

    const uint8_t *key;
    size_t key_bytes;
    const uint8_t *value; /* in the target or in `body` */
    size_t value_bytes;
    struct condition condition;
    struct range *range;             /* NULL: it is about one key */
    struct transaction *transaction; /* NULL: it is none */
    struct watching *watching;       /* the same */
    bool stale;
    bool verbose;

    struct buffer body;
    struct forward *forward; /* takes the body while it comes (forward.h); NULL: it is kept */
    size_t bytes_reserved;   /* of LIMIT_BODIES_BYTES_MAX, until the answer is on its way */

    struct MHD_Response *answer;
    unsigned answer_status;

    /* Kept by whoever holds the waiting request. */
    uint64_t deadline_ms;
    struct patience *patience;
    TAILQ_ENTRY(request) by_age;
    TAILQ_ENTRY(request) by_stage;
    struct request_list *stage; /* the list it is in by stage, or NULL */
    struct request **slot;      /* its place in a message in flight, or NULL */
};

TAILQ_HEAD(request_list, request);

/* ---- called by the server, in this order; false: the connection must end without an answer ----
 */

/* The target was read. `request` has httpd, mhd and fd set, and is otherwise new or ended. */
void request_begin(struct request *request, const char *target);
bool request_on_head(struct request *request, const char *method, const char *version);
bool request_on_body(struct request *request, const char *bytes, size_t length);
/* Also called again and again while it waits in place. */
bool request_on_whole(struct request *request);
/* Writes the problem to the socket past libmicrohttpd, as the last the client gets: for when
 * libmicrohttpd takes no answer, or would give a wrong one. */
void request_refuse_raw(struct request *request, const struct problem *problem);
/* The answer is on its way, or the connection is gone. */
void request_end(struct request *request);
/* Frees the buffers. */
void request_free(struct request *request);

/* ---- called by whoever serves it ---- */

/* Gives the answer, which becomes the request's, and lets it go: no list, slot or clock holds it
 * any more. */
void request_answer(struct request *request, unsigned status, struct MHD_Response *answer);
void request_answer_problem(struct request *request, const struct problem *problem);

/* Its connection is suspended until it is answered, or resumed: the request stays. Not while it is
 * served. */
void request_suspend(struct request *request);
void request_resume(struct request *request);
/* Moves it to the end of a stage's list; NULL: to none. */
void request_stage(struct request *request, struct request_list *list);
/* Takes the slot of a message in flight, to be set to NULL should the request be answered before
 * the message is. */
void request_take_slot(struct request *request, struct request **slot);
/* Frees the body's memory: its bytes are in a message. They still count until the answer. */
void request_drop_body(struct request *request);
/* Counts more bytes that are kept for it. False, and nothing is: too many are in flight. */
bool request_reserve(struct request *request, size_t bytes);
