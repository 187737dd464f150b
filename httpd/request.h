/* One HTTP request from its first byte to its answer. Owner: httpd.
 *
 *   NEW -> RECEIVING -> WAITING -> ANSWERED
 *     \________\___________________/      (an answer without asking anybody)
 *
 * It belongs to its MHD connection, which frees it when the answer is out (or the client gone).
 * While WAITING the connection is suspended, so it cannot go away: the rooms that ask others
 * (writes, reads, inquiries) keep plain pointers and end each by exactly one request_answer. */
#pragma once

#include "buffer.h"
#include "command.h"
#include "propose.h"
#include "uri.h"

#include <microhttpd.h>
#include <stdint.h>

struct httpd;
struct route;
struct cJSON;

enum request_state { REQUEST_NEW, REQUEST_RECEIVING, REQUEST_WAITING, REQUEST_ANSWERED };

struct request {
    struct request *next; /* in the list of the room it waits in */
    struct httpd *httpd;
    struct MHD_Connection *connection;
    enum request_state state;
    char *target; /* as in the request line */
    struct uri uri;
    const struct route *route;
    unsigned method; /* a bit of enum method (routes.h) */
    bool close;      /* the connection ends with the answer */

    struct buffer body;
    uint64_t body_counted; /* of the bodies' budget */
    uint64_t body_seen;    /* received, stored or not */

    struct uri_bytes key;
    struct uri_bytes value;
    enum command_condition condition;
    uint64_t condition_revision;
    bool stale;
    uint64_t deadline_ms; /* loop time */

    struct MHD_Response *response; /* set by request_answer */
    unsigned status;
};

struct request *request_new(struct httpd *httpd, const char *target);
void request_free(struct request *request);

/* The answer. Takes the response, adds what every answer has, and wakes the connection if it waits.
 */
void request_answer(struct request *request, unsigned status, struct MHD_Response *response);

/* ---- answers (reply.c) ---- */

/* A short text. */
void reply_text(struct request *request, unsigned status, const char *text);
/* "OK\n" with the revision as ETag, if it is not 0. */
void reply_done(struct request *request, uint64_t revision);
/* A value's bytes (copied) with its revision; `applied_index` is shown if it is not 0. */
void reply_value(struct request *request, const void *bytes, size_t length, uint64_t revision,
                 uint64_t applied_index);
/* A JSON object (taken), with a newline behind it. */
void reply_json(struct request *request, unsigned status, struct cJSON *object);
/* problem+json (RFC 9457): title from the status, `detail` as given. `extra`: further members,
 * taken, or NULL. 503 gets Retry-After. */
void reply_problem(struct request *request, unsigned status, struct cJSON *extra,
                   const char *detail, ...) __attribute__((format(printf, 4, 5)));
/* 405 with Allow. */
void reply_not_allowed(struct request *request, const char *allow);
/* This node does not lead: by follower_mode 307 or 409, or 503 if nobody does. */
void reply_not_leader(struct request *request, const struct leader_hint *hint);
/* What a status of a RESULT, READ or READ_INDEX means to the client: one table. */
void reply_status(struct request *request, unsigned proto_status);
