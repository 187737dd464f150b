/* libmicrohttpd takes an answer at two moments only: before the body (and then reads no further:
 * the connection ends behind the answer), or when the whole request is there. So a refusal that
 * comes early either ends the connection or waits until the body, if it is short, was swallowed. In
 * the middle of a body it takes none: what must be refused there is written to the socket directly,
 * and the connection ends. */
#include "request.h"

#include "clock.h"
#include "dispatch.h"
#include "follower.h"
#include "forward.h"
#include "patience.h"
#include "proxy.h"
#include "range.h"
#include "reply.h"
#include "routes.h"
#include "server.h"
#include "transaction.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* ---- the target ---- */

static const char cookie_shadow[] = MHD_HTTP_HEADER_COOKIE;

/* libmicrohttpd makes a record of every query parameter and every cookie, and when they are too
 * many for its memory it loses its way: it waits for ever, or answers twice. It finds no parameters
 * behind a NUL, and looks at the first Cookie field only: so it gets one without cookies. */
static void request_hide_lists(struct request *request, char *target)
{
    char *mark = memchr(target, '?', request->target_bytes);
    if (mark)
        mark[1] = '\0';
    (void)MHD_set_connection_value(request->mhd, MHD_HEADER_KIND, cookie_shadow, "");
}

void request_begin(struct request *request, const char *target)
{
    size_t length = strlen(target);
    request->state = REQUEST_HEAD;
    request->begun_us = clock_monotonic_us();
    request->linger = false;
    request->route = NULL;
    request->findings = (struct guard_findings){0};
    request->condition = (struct condition){0};
    request->stale = request->verbose = false;
    request->key = request->value = NULL;
    request->key_bytes = request->value_bytes = 0;
    request->target_at = target;
    request->target_bytes = length;
    if (length > LIMIT_HTTP_URI_BYTES_MAX)
        length = 0; /* the guard refuses it by its length */
    (void)buffer_reserve(&request->target, 2 * length + 1);
    buffer_append(&request->target, target, length);
    request->target.bytes[length] = '\0';
    request_hide_lists(request, (char *)(uintptr_t)target);
}

/* ---- the answer ---- */

static void request_leave_place(struct request *request)
{
    if (request->in_place)
        server_end_waiting(request->httpd->server);
    request->in_place = false;
}

static bool request_queue(struct request *request)
{
    struct MHD_Response *answer = request->answer;
    request->answer = NULL;
    request->state = REQUEST_ANSWERED;
    request_leave_place(request);
    server_wake(request->httpd->server); /* to write it */
    if (request->httpd->draining)
        (void)MHD_add_response_header(answer, MHD_HTTP_HEADER_CONNECTION, "close");
    enum MHD_Result queued = MHD_queue_response(request->mhd, request->answer_status, answer);
    MHD_destroy_response(answer);
    return queued == MHD_YES;
}

static void request_count(const struct request *request, unsigned status)
{
    metrics_count(&request->httpd->metrics, request->route, status,
                  clock_monotonic_us() - request->begun_us);
}

void request_answer(struct request *request, unsigned status, struct MHD_Response *answer)
{
    assert(!request->answer);
    request_count(request, status);
    patience_end(request);
    request_stage(request, NULL);
    if (request->slot)
        *request->slot = NULL;
    request->slot = NULL;
    request->answer = answer;
    request->answer_status = status;
    request->forward = NULL;
    if (request->in_place)
        server_wake(request->httpd->server);
    request_resume(request);
}

void request_answer_problem(struct request *request, const struct problem *problem)
{
    request_answer(request, problem->status, reply_problem(problem));
}

/* ---- the head ---- */

static enum MHD_Result head_add_field(void *context, enum MHD_ValueKind kind, const char *name,
                                      size_t name_bytes, const char *value, size_t value_bytes)
{
    struct guard_head *head = context;
    (void)kind;
    if (name == cookie_shadow)
        return MHD_YES;
    if (head->fields_count++ == HTTPD_FIELDS_MAX)
        return MHD_NO;
    head->fields[head->fields_count - 1] = (struct guard_field){
        .name = name,
        .name_bytes = name_bytes,
        .value = value ? value : "",
        .value_bytes = value ? value_bytes : 0,
    };
    return MHD_YES;
}

static int request_guard(struct request *request, const char *method, const char *version,
                         struct problem *problem)
{
    struct guard_head head;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    head.method = method;
    head.target = request->target_at;
    head.target_text = (const char *)request->target.bytes;
    head.target_bytes = request->target_bytes;
    head.version = version;
    head.head_bytes = info ? info->header_size : 0;
    head.end = method + head.head_bytes;
    head.fields_count = 0;
    (void)MHD_get_connection_values_n(request->mhd, MHD_HEADER_KIND, head_add_field, &head);
    return guard_check(&head, &request->findings, problem);
}

static int request_find_route(struct request *request, const char *method, struct problem *problem)
{
    static char allow[ROUTES_ALLOW_BYTES]; /* used until the answer is made, right after */
    const struct uri *uri = &request->uri;
    unsigned allowed = 0;
    request->method = routes_method(method);
    request->route = routes_find(uri->path, uri->path_bytes, request->method, &allowed);
    if (request->route)
        return 0;
    if (!allowed)
        return problem_set(problem, MHD_HTTP_NOT_FOUND, "there is no such path");
    routes_format_allow(allowed, allow);
    problem_set(problem, MHD_HTTP_METHOD_NOT_ALLOWED, "this path takes %s", allow);
    problem->allow = allow;
    return MHD_HTTP_METHOD_NOT_ALLOWED;
}

static int request_read_target(struct request *request, const char *method, struct problem *problem)
{
    struct error error = {""};
    const char *target = (const char *)request->target.bytes;
    if (uri_parse(target, request->target_bytes, request->target.bytes + request->target_bytes + 1,
                  &request->uri, &error))
        return problem_set(problem, MHD_HTTP_BAD_REQUEST, "%s", error.text);
    int status = request_find_route(request, method, problem);
    if (status)
        return status;
    const struct uri_parameter *unknown =
        uri_find_unknown(&request->uri, request->route->parameters);
    if (unknown)
        return problem_set(problem, MHD_HTTP_BAD_REQUEST, "unknown query parameter '%.*s'",
                           (int)unknown->name_bytes, (const char *)unknown->name);
    return request->route->prepare ? request->route->prepare(request, problem) : 0;
}

/* ---- the body ---- */

static bool request_has_body(const struct request *request)
{
    return request->findings.chunked || request->findings.content_length > 0;
}

bool request_reserve(struct request *request, size_t bytes)
{
    if (request->httpd->bodies_bytes + bytes > LIMIT_BODIES_BYTES_MAX)
        return false;
    request->httpd->bodies_bytes += bytes;
    request->bytes_reserved += bytes;
    return true;
}

/* `bytes` more than there are. */
static int request_check_body(const struct request *request, size_t bytes, struct problem *problem)
{
    bool is_value = request->route->body_bytes_max == ROUTE_BODY_VALUE;
    size_t bytes_max =
        is_value ? request->httpd->config->value_bytes_max : request->route->body_bytes_max;
    if (request->bytes_reserved + bytes <= bytes_max)
        return 0;
    return problem_set(problem, MHD_HTTP_CONTENT_TOO_LARGE, "the %s is over the limit of %zu bytes",
                       is_value ? "value" : "body", bytes_max);
}

static int problem_set_overloaded(struct problem *problem)
{
    problem_set(problem, MHD_HTTP_SERVICE_UNAVAILABLE,
                "overloaded: too many bytes of requests are in flight; nothing was done");
    problem->retry_after_s = 1;
    return MHD_HTTP_SERVICE_UNAVAILABLE;
}

static int request_reserve_body(struct request *request, size_t bytes, struct problem *problem)
{
    int status = request_check_body(request, bytes, problem);
    if (!status && !request_reserve(request, bytes))
        status = problem_set_overloaded(problem);
    return status;
}

/* A large body goes straight to the leader, if that is known to be another node. What is in flight
 * here is what the proxy may hold of it. */
static int request_forward_body(struct request *request, const char *leader_url,
                                struct problem *problem)
{
    if (!request_reserve(request, HTTPD_UPLOAD_HELD_BYTES))
        return problem_set_overloaded(problem);
    request->forward = proxy_begin_upload(request->httpd->proxy, request, leader_url);
    return request->forward ? 0 : problem_set_overloaded(problem);
}

static int request_admit_body(struct request *request, struct problem *problem)
{
    uint64_t length = request->findings.content_length;
    if (!request_has_body(request))
        return 0;
    if (!request->route->body_bytes_max)
        return problem_set(problem, MHD_HTTP_BAD_REQUEST, "this request takes no body");
    if (length > LIMIT_VALUE_BYTES_CAP)
        length = LIMIT_VALUE_BYTES_CAP + 1u; /* over any limit, and safe to add */
    const char *leader_url =
        length > HTTPD_FORWARD_HELD_BYTES ? follower_find_leader(request) : NULL;
    int status = request_check_body(request, length, problem);
    if (!status && leader_url)
        return request_forward_body(request, leader_url, problem);
    if (!status)
        status = request_reserve_body(request, length, problem);
    if (!status)
        (void)buffer_reserve(&request->body, length);
    return status;
}

/* Answers before the body was read: at once, or once it is swallowed. */
static bool request_refuse(struct request *request, const struct problem *problem)
{
    const struct guard_findings *findings = &request->findings;
    bool short_body = !findings->chunked && !findings->expects_continue &&
                      findings->content_length <= HTTPD_SWALLOW_BYTES_MAX &&
                      problem->status != MHD_HTTP_CONTENT_TOO_LARGE;
    request_answer_problem(request, problem);
    request->state = REQUEST_REFUSED;
    if (!problem->close && (short_body || !request_has_body(request)))
        return true;
    request->linger = true;
    return request_queue(request);
}

bool request_on_head(struct request *request, const char *method, const char *version)
{
    struct problem problem;
    int status = request_guard(request, method, version, &problem);
    if (!status)
        status = request_read_target(request, method, &problem);
    if (!status)
        status = request_admit_body(request, &problem);
    if (status)
        return request_refuse(request, &problem);
    request->state = REQUEST_BODY;
    return true;
}

void request_refuse_raw(struct request *request, const struct problem *problem)
{
    char text[1024];
    request_count(request, problem->status);
    size_t length = reply_raw_problem(problem, text, sizeof(text));
    (void)send(request->fd, text, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)shutdown(request->fd, SHUT_WR);
    request->linger = true;
    request->state = REQUEST_ANSWERED;
}

bool request_on_body(struct request *request, const char *bytes, size_t length)
{
    struct problem problem;
    if (request->state != REQUEST_BODY || request->answer)
        return true; /* swallowed */
    if (request->forward) {
        if (!forward_take_body(request->forward, bytes, length))
            request_suspend(request);
        return true;
    }
    if (request->findings.chunked && request_reserve_body(request, length, &problem)) {
        request_refuse_raw(request, &problem);
        return false;
    }
    buffer_append(&request->body, bytes, length);
    return true;
}

static void request_serve(struct request *request)
{
    request->state = REQUEST_SERVING;
    if (!request->value) {
        request->value = request->body.bytes;
        request->value_bytes = request->body.length;
    }
    if (request->forward)
        forward_end_body(request->forward);
    else if (!request->answer)
        request->route->serve(request);
}

bool request_on_whole(struct request *request)
{
    if (request->state == REQUEST_BODY)
        request_serve(request);
    if (request->answer)
        return request_queue(request);
    if (!request->in_place)
        server_begin_waiting(request->httpd->server);
    else if (server_is_crowded(request->httpd->server))
        request_suspend(request);
    request->in_place = !request->suspended;
    return true;
}

/* ---- the end ---- */

void request_end(struct request *request)
{
    assert(!request->suspended);
    if (request->forward)
        forward_abandon(request->forward);
    request->forward = NULL;
    request_leave_place(request);
    patience_end(request);
    request_stage(request, NULL);
    if (request->slot)
        *request->slot = NULL;
    request->slot = NULL;
    if (request->answer)
        MHD_destroy_response(request->answer);
    request->answer = NULL;
    request->httpd->bodies_bytes -= request->bytes_reserved;
    request->bytes_reserved = 0;
    free(request->range);
    request->range = NULL;
    free(request->watching);
    request->watching = NULL;
    transaction_free(request->transaction);
    request->transaction = NULL;
    buffer_clear(&request->body, HTTPD_BODY_KEEP_BYTES_MAX);
    buffer_clear(&request->target, HTTPD_BODY_KEEP_BYTES_MAX);
}

void request_free(struct request *request)
{
    buffer_free(&request->body);
    buffer_free(&request->target);
}

/* ---- held while it waits ---- */

void request_suspend(struct request *request)
{
    if (request->suspended)
        return;
    assert(request->in_place || request->state == REQUEST_BODY);
    request_leave_place(request);
    request->suspended = true;
    MHD_suspend_connection(request->mhd);
}

void request_resume(struct request *request)
{
    if (!request->suspended)
        return;
    request->suspended = false;
    MHD_resume_connection(request->mhd);
    server_wake(request->httpd->server);
}

void request_stage(struct request *request, struct request_list *list)
{
    if (request->stage)
        TAILQ_REMOVE(request->stage, request, by_stage);
    request->stage = list;
    if (list)
        TAILQ_INSERT_TAIL(list, request, by_stage);
}

void request_take_slot(struct request *request, struct request **slot)
{
    request_stage(request, NULL);
    request->slot = slot;
    *slot = request;
}

void request_drop_body(struct request *request)
{
    request->value = NULL;
    buffer_clear(&request->body, HTTPD_BODY_KEEP_BYTES_MAX);
    if (request->transaction)
        transaction_drop(request->transaction);
}
