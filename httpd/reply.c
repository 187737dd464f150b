#include "request.h"

#include "httpd.h"
#include "message.h"
#include "routes.h"

#include <cjson/cJSON.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct MHD_Response *response_of(const void *bytes, size_t length, const char *type)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(length, (void *)(uintptr_t)bytes, MHD_RESPMEM_MUST_COPY);
    if (!response)
        abort();
    (void)MHD_add_response_header(response, "Content-Type", type);
    return response;
}

static void add_number(struct MHD_Response *response, const char *name, uint64_t number,
                       const char *form)
{
    char text[32];
    snprintf(text, sizeof(text), form, (unsigned long long)number);
    (void)MHD_add_response_header(response, name, text);
}

static void add_revision(struct MHD_Response *response, uint64_t revision)
{
    if (!revision)
        return;
    add_number(response, "ETag", revision, "\"%llu\"");
    add_number(response, "X-Conure-Revision", revision, "%llu");
}

void reply_text(struct request *request, unsigned status, const char *text)
{
    request_answer(request, status, response_of(text, strlen(text), "text/plain; charset=utf-8"));
}

void reply_done(struct request *request, uint64_t revision)
{
    struct MHD_Response *response = response_of("OK\n", 3, "text/plain; charset=utf-8");
    add_revision(response, revision);
    request_answer(request, 200, response);
}

void reply_value(struct request *request, const void *bytes, size_t length, uint64_t revision,
                 uint64_t applied_index)
{
    struct MHD_Response *response = response_of(bytes, length, "application/octet-stream");
    add_revision(response, revision);
    if (applied_index)
        add_number(response, "X-Conure-Applied-Index", applied_index, "%llu");
    request_answer(request, 200, response);
}

/* ---- JSON ---- */

static struct MHD_Response *response_of_json(struct cJSON *object, const char *type)
{
    char *text = cJSON_PrintUnformatted(object);
    if (!text)
        abort();
    struct buffer line = {0};
    buffer_append(&line, text, strlen(text));
    buffer_append(&line, "\n", 1);
    struct MHD_Response *response = response_of(line.bytes, line.length, type);
    buffer_free(&line);
    cJSON_free(text);
    cJSON_Delete(object);
    return response;
}

void reply_json(struct request *request, unsigned status, struct cJSON *object)
{
    request_answer(request, status, response_of_json(object, "application/json"));
}

static const char *title_of(unsigned status)
{
    static const struct {
        unsigned status;
        const char *title;
    } titles[] = {
        {400, "Bad Request"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {409, "Conflict"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {500, "Internal Server Error"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };
    for (unsigned i = 0; i < sizeof(titles) / sizeof(*titles); i++)
        if (titles[i].status == status)
            return titles[i].title;
    return "Error";
}

static struct MHD_Response *response_of_problem(unsigned status, struct cJSON *extra,
                                                const char *detail)
{
    struct cJSON *problem = extra ? extra : cJSON_CreateObject();
    (void)cJSON_AddStringToObject(problem, "title", title_of(status));
    (void)cJSON_AddNumberToObject(problem, "status", (double)status);
    (void)cJSON_AddStringToObject(problem, "detail", detail);
    struct MHD_Response *response = response_of_json(problem, "application/problem+json");
    if (status == 503)
        (void)MHD_add_response_header(response, "Retry-After", "1");
    return response;
}

void reply_problem(struct request *request, unsigned status, struct cJSON *extra,
                   const char *format, ...)
{
    char detail[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(detail, sizeof(detail), format, arguments);
    va_end(arguments);
    request_answer(request, status, response_of_problem(status, extra, detail));
}

void reply_not_allowed(struct request *request, const char *allow)
{
    char detail[128];
    snprintf(detail, sizeof(detail), "allowed here: %s", allow);
    struct MHD_Response *response = response_of_problem(405, NULL, detail);
    (void)MHD_add_response_header(response, "Allow", allow);
    request_answer(request, 405, response);
}

/* ---- leaders and statuses ---- */

static struct cJSON *leader_object(const struct leader_hint *hint)
{
    struct cJSON *object = cJSON_CreateObject();
    (void)cJSON_AddStringToObject(object, "leader", hint->raft_address);
    if (hint->id[0]) {
        (void)cJSON_AddStringToObject(object, "leader_id", hint->id);
        (void)cJSON_AddStringToObject(object, "leader_url", hint->http_url);
    }
    return object;
}

void reply_not_leader(struct request *request, const struct leader_hint *hint)
{
    if (!hint->id[0]) {
        reply_problem(request, 503, leader_object(hint), "there is no leader now");
        return;
    }
    if (request->httpd->config->follower_mode == FOLLOWER_CONFLICT) {
        reply_problem(request, 409, leader_object(hint), "this node does not lead");
        return;
    }
    struct buffer location = {0};
    buffer_append(&location, hint->http_url, strlen(hint->http_url));
    buffer_append(&location, request->target, strlen(request->target) + 1);
    struct MHD_Response *response = response_of_json(leader_object(hint), "application/json");
    (void)MHD_add_response_header(response, "Location", (const char *)location.bytes);
    buffer_free(&location);
    request_answer(request, 307, response);
}

void reply_status(struct request *request, unsigned proto_status)
{
    static const struct {
        unsigned status, http;
        const char *detail;
    } table[] = {
        {PROTO_STATUS_NOT_FOUND, 404, "there is no such key"},
        {PROTO_STATUS_CONDITION_FAILED, 412, "the condition does not hold; nothing was changed"},
        {PROTO_STATUS_TOO_LARGE, 413, "over the node's limit; nothing was stored"},
        {PROTO_STATUS_BUSY, 503, "too much is under way; nothing was done"},
        {PROTO_STATUS_UNAVAILABLE, 503, "the node cannot serve this now; nothing was done"},
        {PROTO_STATUS_BAD_REQUEST, 500, "the command was refused"},
        {PROTO_STATUS_DAMAGED, 500, "the stored bytes are damaged"},
        {PROTO_STATUS_TIMEOUT, 503, "the read could not be served within barrier_timeout"},
        {PROTO_STATUS_NO_SPACE, 503, "the disk is full; nothing was done"},
    };
    static const struct leader_hint no_leader;
    for (unsigned i = 0; i < sizeof(table) / sizeof(*table); i++)
        if (table[i].status == proto_status) {
            struct cJSON *extra = table[i].http == 503 ? leader_object(&no_leader) : NULL;
            reply_problem(request, table[i].http, extra, "%s", table[i].detail);
            return;
        }
    struct cJSON *extra = cJSON_CreateObject();
    (void)cJSON_AddStringToObject(extra, "outcome", "unknown");
    reply_problem(request, 504, extra, "the write may or may not have been, or still be, done");
}
