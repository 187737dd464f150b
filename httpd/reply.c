#include "reply.h"

#include "condition.h"
#include "dispatch.h"
#include "message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADER_REVISION "X-Conure-Revision"
#define HEADER_APPLIED_INDEX "X-Conure-Applied-Index"
#define TYPE_TEXT "text/plain; charset=utf-8"
#define TYPE_JSON "application/json"
#define TYPE_PROBLEM "application/problem+json"
#define TYPE_BYTES "application/octet-stream"

static void reply_header(struct MHD_Response *response, const char *name, const char *value)
{
    if (MHD_add_response_header(response, name, value) != MHD_YES)
        abort(); /* out of memory: all names and values are well-formed */
}

static void reply_header_number(struct MHD_Response *response, const char *name, uint64_t value)
{
    char digits[24];
    snprintf(digits, sizeof(digits), "%llu", (unsigned long long)value);
    reply_header(response, name, digits);
}

static struct MHD_Response *reply_new(const void *bytes, size_t length,
                                      enum MHD_ResponseMemoryMode mode, const char *type)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(length, (void *)(uintptr_t)bytes, mode);
    if (!response)
        abort();
    reply_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    reply_header(response, "X-Content-Type-Options", "nosniff");
    return response;
}

static void reply_etag(struct MHD_Response *response, uint64_t revision)
{
    char tag[CONDITION_ETAG_BYTES];
    condition_format_etag(revision, tag);
    reply_header(response, MHD_HTTP_HEADER_ETAG, tag);
}

struct MHD_Response *reply_value(const struct reply_value *value)
{
    struct MHD_Response *response =
        reply_new(value->bytes, value->bytes_count, MHD_RESPMEM_MUST_COPY, TYPE_BYTES);
    reply_etag(response, value->revision);
    reply_header_number(response, HEADER_REVISION, value->revision);
    if (value->stale)
        reply_header_number(response, HEADER_APPLIED_INDEX, value->applied_index);
    return response;
}

struct MHD_Response *reply_ok(void)
{
    return reply_new("OK\n", 3, MHD_RESPMEM_PERSISTENT, TYPE_TEXT);
}

struct MHD_Response *reply_written(uint64_t revision, bool has_etag)
{
    struct MHD_Response *response = reply_ok();
    if (has_etag)
        reply_etag(response, revision);
    reply_header_number(response, HEADER_REVISION, revision);
    return response;
}

struct MHD_Response *reply_json(char *text)
{
    return reply_new(text, strlen(text), MHD_RESPMEM_MUST_FREE, TYPE_JSON);
}

struct MHD_Response *reply_text(char *text)
{
    return reply_typed(text, TYPE_TEXT);
}

struct MHD_Response *reply_typed(char *text, const char *type)
{
    return reply_new(text, strlen(text), MHD_RESPMEM_MUST_FREE, type);
}

struct MHD_Response *reply_static(const char *text, const char *type)
{
    return reply_new(text, strlen(text), MHD_RESPMEM_PERSISTENT, type);
}

struct MHD_Response *reply_transaction(struct buffer *json, uint64_t revision)
{
    struct MHD_Response *response =
        reply_new(json->bytes, json->length, MHD_RESPMEM_MUST_FREE, TYPE_JSON);
    *json = (struct buffer){0};
    reply_header_number(response, HEADER_REVISION, revision);
    return response;
}

/* libmicrohttpd 0.9.75 ends a chunked answer to HEAD with an empty chunk, which the client would
 * take for the beginning of the next answer. */
static void reply_end_with_head(struct MHD_Response *response)
{
    (void)MHD_set_response_options(response, MHD_RF_HTTP_1_0_COMPATIBLE_STRICT, MHD_RO_END);
}

struct MHD_Response *reply_stream(const struct reply_stream *stream)
{
    struct MHD_Response *response = MHD_create_response_from_callback(
        MHD_SIZE_UNKNOWN, HTTPD_STREAM_STEP_BYTES, stream->read, stream->context, stream->end);
    if (!response)
        abort();
    reply_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, stream->type);
    reply_header(response, "X-Content-Type-Options", "nosniff");
    if (stream->has_applied_index)
        reply_header_number(response, HEADER_APPLIED_INDEX, stream->applied_index);
    if (stream->is_head)
        reply_end_with_head(response);
    return response;
}

struct MHD_Response *reply_passed(struct buffer *body)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(
        body->length, body->bytes, body->bytes ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
    if (!response)
        abort();
    *body = (struct buffer){0};
    reply_header(response, "X-Content-Type-Options", "nosniff");
    return response;
}

struct MHD_Response *reply_passed_on(int64_t length, MHD_ContentReaderCallback read,
                                     MHD_ContentReaderFreeCallback end, void *context)
{
    struct MHD_Response *response =
        MHD_create_response_from_callback(length < 0 ? MHD_SIZE_UNKNOWN : (uint64_t)length,
                                          HTTPD_STREAM_STEP_BYTES, read, context, end);
    if (!response)
        abort();
    reply_header(response, "X-Content-Type-Options", "nosniff");
    return response;
}

static ssize_t read_nothing(void *context, uint64_t at, char *into, size_t into_bytes)
{
    (void)context, (void)at, (void)into, (void)into_bytes;
    return MHD_CONTENT_READER_END_WITH_ERROR; /* not reached: HEAD sends no body */
}

struct MHD_Response *reply_head(int64_t body_bytes)
{
    struct MHD_Response *response = reply_passed_on(body_bytes, read_nothing, NULL, NULL);
    if (body_bytes < 0)
        reply_end_with_head(response);
    return response;
}

struct MHD_Response *reply_problem(const struct problem *problem)
{
    char *text = problem_render(problem);
    struct MHD_Response *response =
        reply_new(text, strlen(text), MHD_RESPMEM_MUST_FREE, TYPE_PROBLEM);
    if (problem->retry_after_s)
        reply_header_number(response, MHD_HTTP_HEADER_RETRY_AFTER, problem->retry_after_s);
    if (problem->allow)
        reply_header(response, MHD_HTTP_HEADER_ALLOW, problem->allow);
    if (problem->location)
        reply_header(response, MHD_HTTP_HEADER_LOCATION, problem->location);
    return response;
}

/* ---- statuses ---- */

static const struct {
    unsigned proto_status, http_status;
    unsigned retry_after_s;
    const char *detail;
} statuses[] = {
    {PROTO_STATUS_NOT_FOUND, MHD_HTTP_NOT_FOUND, 0, "no such key"},
    {PROTO_STATUS_CONDITION_FAILED, MHD_HTTP_PRECONDITION_FAILED, 0,
     "the condition does not hold; nothing was changed"},
    {PROTO_STATUS_TOO_LARGE, MHD_HTTP_CONTENT_TOO_LARGE, 0,
     "the key or value is too large; nothing was stored"},
    {PROTO_STATUS_BUSY, MHD_HTTP_SERVICE_UNAVAILABLE, 1, "overloaded; nothing was done"},
    {PROTO_STATUS_UNAVAILABLE, MHD_HTTP_SERVICE_UNAVAILABLE, 1,
     "the node cannot serve this now; nothing was done"},
    {PROTO_STATUS_UNKNOWN, MHD_HTTP_GATEWAY_TIMEOUT, 0,
     "it is not known whether the write was, or will be, applied"},
    {PROTO_STATUS_DAMAGED, MHD_HTTP_INTERNAL_SERVER_ERROR, 0, "stored bytes failed their checksum"},
    {PROTO_STATUS_TIMEOUT, MHD_HTTP_SERVICE_UNAVAILABLE, 1,
     "the read could not be served in its time"},
    {PROTO_STATUS_NO_SPACE, MHD_HTTP_SERVICE_UNAVAILABLE, 1,
     "the disk is full: nothing was stored or deleted; reads go on"},
};

void reply_status_problem(unsigned status, const struct leader_hint *hint, struct problem *problem)
{
    static const struct leader_hint nobody;
    for (unsigned i = 0; i < sizeof(statuses) / sizeof(*statuses); i++) {
        if (statuses[i].proto_status != status)
            continue;
        problem_set(problem, statuses[i].http_status, "%s", statuses[i].detail);
        problem->retry_after_s = statuses[i].retry_after_s;
        problem->outcome_unknown = status == PROTO_STATUS_UNKNOWN;
        if (status == PROTO_STATUS_UNAVAILABLE)
            problem->leader = hint ? hint : &nobody;
        return;
    }
    problem_set(problem, MHD_HTTP_INTERNAL_SERVER_ERROR, "unexpected status %s",
                proto_status_name(status));
}

size_t reply_raw_problem(const struct problem *problem, char *into, size_t into_bytes)
{
    char *body = problem_render(problem), retry[32] = "";
    if (problem->retry_after_s)
        snprintf(retry, sizeof(retry), "Retry-After: %u\r\n", problem->retry_after_s);
    int length = snprintf(into, into_bytes,
                          "HTTP/1.1 %u %s\r\nConnection: close\r\nContent-Type: " TYPE_PROBLEM
                          "\r\n%sContent-Length: %zu\r\n\r\n%s",
                          problem->status, MHD_get_reason_phrase_for(problem->status), retry,
                          strlen(body), body);
    free(body);
    return length > 0 && (size_t)length < into_bytes ? (size_t)length : 0;
}
