/* Answers as libmicrohttpd's responses: each made for one request, owned by the caller. */
#pragma once

#include "problem.h"
#include "request.h"

struct reply_value {
    const uint8_t *bytes; /* copied */
    size_t bytes_count;
    uint64_t revision;
    bool stale;
    uint64_t applied_index; /* shown if stale */
};

struct MHD_Response *reply_value(const struct reply_value *value);
/* `OK` and a newline. */
struct MHD_Response *reply_ok(void);
/* The same, with the revision; `has_etag`: the key exists at it. */
struct MHD_Response *reply_written(uint64_t revision, bool has_etag);
/* `text` becomes the response's, by free(). */
struct MHD_Response *reply_json(char *text);
struct MHD_Response *reply_text(char *text);
struct MHD_Response *reply_typed(char *text, const char *type);
/* `text` lives for ever. */
struct MHD_Response *reply_static(const char *text, const char *type);
/* JSON, which becomes the response's, with a revision. */
struct MHD_Response *reply_transaction(struct buffer *json, uint64_t revision);
/* An answer that is made while it is being sent. */
struct reply_stream {
    const char *type;
    MHD_ContentReaderCallback read;
    MHD_ContentReaderFreeCallback end; /* of the context, once nobody will read on */
    void *context;
    bool is_head;           /* nothing is read: the answer ends with its head, and the connection */
    bool has_applied_index; /* shown */
    uint64_t applied_index;
};
struct MHD_Response *reply_stream(const struct reply_stream *stream);
/* An answer of another node: its body, which becomes the response's; the caller adds its header. */
struct MHD_Response *reply_passed(struct buffer *body);
/* The same while it comes: `length` bytes, or -1 for as many as there are until the end. */
struct MHD_Response *reply_passed_on(int64_t length, MHD_ContentReaderCallback read,
                                     MHD_ContentReaderFreeCallback end, void *context);
/* The same for HEAD: as long as the body would be; -1: not known, and the connection ends. */
struct MHD_Response *reply_head(int64_t body_bytes);
struct MHD_Response *reply_problem(const struct problem *problem);

/* The problem that a PROTO_STATUS is, other than OK and NOT_LEADER (follower.h). `hint` may be
 * NULL. The problem points into it. */
void reply_status_problem(unsigned status, const struct leader_hint *hint, struct problem *problem);

/* A whole answer of status 413 or 503, head and all, for when libmicrohttpd takes none: in the
 * middle of a body. Returns its length. */
size_t reply_raw_problem(const struct problem *problem, char *into, size_t into_bytes);
