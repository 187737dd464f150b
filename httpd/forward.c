/* libcurl sends a request again if a connection that was used before turns out to be closed and
 * nothing has come back: it cannot know whether the request was read. It tells of each sending just
 * before (CURLOPT_PREREQFUNCTION): the second one of a write is stopped there. The same call
 * decides, if there is no answer, between "nothing was sent" and "outcome unknown". */
#include "forward_private.h"

#include "follower.h"
#include "limits.h"
#include "patience.h"
#include "reply.h"
#include "routes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- the end ---- */

static void forward_hang_up(struct forward *forward)
{
    loop_timer_cancel(forward->forwards->httpd->loop, &forward->timer);
    if (!forward->curl)
        return;
    (void)curl_multi_remove_handle(forward->forwards->multi, forward->curl);
    curl_easy_cleanup(forward->curl);
    forward->curl = NULL;
    forward->forwards->open_count--;
}

/* Also the end of its response: the client may be gone. */
static void forward_free(void *context)
{
    struct forward *forward = context;
    forward_hang_up(forward);
    TAILQ_REMOVE(&forward->forwards->all, forward, link);
    forward->forwards->count--;
    curl_slist_free_all(forward->headers);
    buffer_free(&forward->out.text);
    buffer_free(&forward->upload.bytes);
    free(forward);
}

void forward_abandon(struct forward *forward)
{
    forward->request->slot = NULL;
    forward_free(forward);
}

static void forward_answer(struct forward *forward, unsigned status, struct MHD_Response *answer)
{
    struct request *request = forward->request;
    forward_free(forward);
    request->slot = NULL;
    request_answer(request, status, answer);
}

/* There is no answer to pass back. */
static void forward_fail(struct forward *forward, const char *why)
{
    static const struct leader_hint nobody;
    struct problem problem;
    if (!forward->is_cut && (forward->sendings > 0 || !forwards_are_crowded(forward->forwards)))
        follower_forget_leader(forward->forwards->httpd);
    if (forward->sendings == 0 || forward_upload_is_open(forward)) {
        problem_set(&problem, MHD_HTTP_SERVICE_UNAVAILABLE,
                    "the leader %s: %.120s; nothing was done",
                    forward->sendings ? "did not take the request" : "cannot be reached", why);
        problem.leader = &nobody;
        problem.retry_after_s = 1;
    } else if (forward->is_write) {
        problem_set(&problem, MHD_HTTP_GATEWAY_TIMEOUT,
                    "no answer from the leader (%.120s): it is not known whether this was, or will "
                    "be, done",
                    why);
        problem.outcome_unknown = true;
    } else {
        problem_set(&problem, MHD_HTTP_SERVICE_UNAVAILABLE, "no answer from the leader: %.120s",
                    why);
        problem.retry_after_s = 1;
    }
    forward_answer(forward, problem.status, reply_problem(&problem));
}

void forward_break(struct forward *forward, const char *why)
{
    if (!forward->is_passed_on) {
        forward_fail(forward, why);
        return;
    }
    forward->is_broken = true;
    forward_hang_up(forward);
    buffer_free(&forward->out.text);
    forward->out.text_at = 0;
    stream_wake(&forward->out);
}

static void forward_on_timer(void *context)
{
    struct forward *forward = context;
    bool waited = forward->sendings == 0 && forwards_are_crowded(forward->forwards);
    forward_break(forward, waited ? "no connection to it was free in time" : "it took too long");
}

void forward_set_timer(struct forward *forward, uint64_t wait_ms)
{
    struct loop *loop = forward->forwards->httpd->loop;
    loop_timer_set(loop, &forward->timer, loop_now_ms(loop) + wait_ms, forward_on_timer, forward);
}

void forward_expect_more(struct forward *forward)
{
    forward_set_timer(forward, HTTPD_FORWARD_SILENCE_MS_MAX);
}

/* ---- the answer ---- */

/* What of the leader's header the client gets; how the connection is used is between two ends. */
static bool is_passed(const char *name)
{
    static const char *const names[] = {"Content-Type", "ETag",  "Retry-After",
                                        "Location",     "Allow", "Cache-Control"};
    static const char own[] = "X-Conure-";
    for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (!strcasecmp(names[i], name))
            return true;
    return !strncasecmp(name, own, strlen(own));
}

static void forward_add_fields(const struct forward *forward, struct MHD_Response *answer)
{
    struct curl_header *header = NULL;
    while ((header = curl_easy_nextheader(forward->curl, CURLH_HEADER, -1, header)))
        if (is_passed(header->name)) /* a name or value that is malformed is left out */
            (void)MHD_add_response_header(answer, header->name, header->value);
}

static unsigned forward_status(const struct forward *forward)
{
    long status = 0;
    (void)curl_easy_getinfo(forward->curl, CURLINFO_RESPONSE_CODE, &status);
    return status >= 200 && status <= 599 ? (unsigned)status : 0;
}

/* -1: the leader does not say. */
static int64_t forward_length(const struct forward *forward)
{
    curl_off_t length = -1;
    (void)curl_easy_getinfo(forward->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    return length;
}

static void forward_answer_whole(struct forward *forward)
{
    int64_t length = forward_length(forward);
    if (forward_status(forward) == MHD_HTTP_SERVICE_UNAVAILABLE)
        follower_forget_leader(forward->forwards->httpd);
    struct MHD_Response *answer = forward->request->method == METHOD_HEAD
                                      ? reply_head(length)
                                      : reply_passed(&forward->out.text);
    forward_add_fields(forward, answer);
    forward_answer(forward, forward_status(forward), answer);
}

static enum stream_outcome forward_render(struct stream *out)
{
    struct forward *forward = (struct forward *)out;
    forward->piece_ms = loop_now_ms(out->httpd->loop);
    if (forward->is_paused) {
        forward->is_paused = false;
        forward_expect_more(forward);
        if (curl_easy_pause(forward->curl, CURLPAUSE_CONT))
            forward_break(forward, "libcurl cannot go on");
    }
    if (out->text.length)
        return STREAM_TEXT;
    if (forward->curl)
        return STREAM_WAIT;
    return forward->is_broken ? STREAM_BROKEN : STREAM_END;
}

/* From here on it is the response's. */
static void forward_pass_on(struct forward *forward)
{
    struct request *request = forward->request;
    forward->out.httpd = forward->forwards->httpd;
    forward->out.mhd = request->mhd;
    forward->out.render = forward_render;
    forward->is_passed_on = true;
    forward->piece_ms = loop_now_ms(forward->forwards->httpd->loop);
    forward->request = NULL;
    request->slot = NULL;
    struct MHD_Response *answer =
        reply_passed_on(forward_length(forward), stream_read, forward_free, forward);
    forward_add_fields(forward, answer);
    forward_expect_more(forward);
    request_answer(request, forward_status(forward), answer);
}

static const char *forward_reason(const struct forward *forward, CURLcode code)
{
    bool would_resend = forward->sendings > 1 || code == CURLE_SEND_FAIL_REWIND;
    if (forward->refusal)
        return forward->refusal;
    if (would_resend && forward->is_write)
        return "the connection ended";
    return forward->reason[0] ? forward->reason : curl_easy_strerror(code);
}

void forward_on_done(CURL *curl, CURLcode code)
{
    struct forward *forward = NULL;
    (void)curl_easy_getinfo(curl, CURLINFO_PRIVATE, (char **)&forward);
    if (code || !forward_status(forward)) {
        forward_break(forward, forward_reason(forward, code));
    } else if (forward->is_passed_on) {
        forward_hang_up(forward);
        stream_wake(&forward->out);
    } else {
        forward_answer_whole(forward);
    }
}

/* ---- libcurl's calls about one request ---- */

static int forward_before_sending(void *context, char *ip, char *own_ip, int port, int own_port)
{
    struct forward *forward = context;
    (void)ip, (void)own_ip, (void)port, (void)own_port;
    forward->sendings++;
    return forward->is_write && forward->sendings > 1 ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

/* What may be held of an answer counts from its first bytes on. (A few go with what every request
 * has: a write that was done must be told of.) */
static const char *forward_begin_body(struct forward *forward)
{
    int64_t length = forward_length(forward);
    bool is_short = length >= 0 && length <= HTTPD_FORWARD_HELD_BYTES;
    size_t bytes = is_short ? (size_t)length : HTTPD_FORWARD_HELD_BYTES;
    forward->has_body = true;
    if (!forward_status(forward))
        return "its answer makes no sense";
    if (bytes > HTTPD_BODY_KEEP_BYTES_MAX && !request_reserve(forward->request, bytes))
        return "too many bytes of requests are in flight";
    if (!is_short && forward_upload_is_open(forward))
        return "it answered before the end of the request";
    if (!is_short)
        forward_pass_on(forward);
    return NULL;
}

static size_t forward_on_body(char *bytes, size_t one, size_t length, void *context)
{
    struct forward *forward = context;
    (void)one; /* always 1; and of at most CURL_MAX_WRITE_SIZE bytes */
    if (!forward->has_body)
        forward->refusal = forward_begin_body(forward);
    if (forward->refusal)
        return CURL_WRITEFUNC_ERROR;
    if (forward->out.text.length + length > HTTPD_FORWARD_HELD_BYTES) {
        loop_timer_cancel(forward->forwards->httpd->loop, &forward->timer);
        forward->is_paused = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    if (forward->out.text.length == 0)
        forward->piece_ms = loop_now_ms(forward->forwards->httpd->loop);
    buffer_append(&forward->out.text, bytes, length);
    if (forward->is_passed_on) {
        forward_expect_more(forward);
        stream_wake(&forward->out);
    }
    return length;
}

/* ---- sending ---- */

static bool forward_add_header(struct forward *forward, const char *name, const char *value)
{
    size_t bytes = strlen(name) + strlen(value) + 3;
    char *line = memory_new(bytes);
    snprintf(line, bytes, "%s:%s%s", name, value[0] ? " " : "", value);
    struct curl_slist *longer = curl_slist_append(forward->headers, line);
    free(line);
    if (longer)
        forward->headers = longer;
    return longer != NULL;
}

static bool forward_set_headers(struct forward *forward)
{
    const struct guard_findings *findings = &forward->request->findings;
    const char *node_id = forward->forwards->httpd->config->node_id;
    return forward_add_header(forward, HTTPD_FORWARDED_HEADER, node_id) &&
           forward_add_header(forward, "Expect", "") && /* none of these: */
           forward_add_header(forward, "Accept", "") &&
           forward_add_header(forward, "Content-Type", "") &&
           (!findings->if_match || forward_add_header(forward, "If-Match", findings->if_match)) &&
           (!findings->if_none_match ||
            forward_add_header(forward, "If-None-Match", findings->if_none_match));
}

#define SET(option, value) (!curl_easy_setopt(forward->curl, option, value))

static bool forward_set_connection(struct forward *forward)
{
    return SET(CURLOPT_ERRORBUFFER, forward->reason) && SET(CURLOPT_PRIVATE, forward) &&
           SET(CURLOPT_NOSIGNAL, 1L) && SET(CURLOPT_PROTOCOLS_STR, "http") &&
           SET(CURLOPT_PROXY, "") && /* nodes are asked directly */
           SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) &&
           SET(CURLOPT_CONNECTTIMEOUT_MS, (long)LIMIT_DIAL_MS_MAX) &&
           SET(CURLOPT_MAXAGE_CONN, (long)HTTPD_FORWARD_IDLE_S_MAX) &&
           SET(CURLOPT_PREREQFUNCTION, forward_before_sending) &&
           SET(CURLOPT_PREREQDATA, forward) && SET(CURLOPT_WRITEFUNCTION, forward_on_body) &&
           SET(CURLOPT_WRITEDATA, forward);
}

/* The target goes out as it came in, byte for byte. */
static bool forward_set_request(struct forward *forward, const char *leader_url)
{
    struct request *request = forward->request;
    bool has_body = request->method == METHOD_PUT || request->method == METHOD_POST;
    if (!SET(CURLOPT_URL, leader_url) ||
        !SET(CURLOPT_REQUEST_TARGET, (const char *)request->target.bytes) ||
        !SET(CURLOPT_HTTPHEADER, forward->headers))
        return false;
    if (request->method == METHOD_HEAD)
        return SET(CURLOPT_NOBODY, 1L);
    if (forward->upload.is_used) {
        if (!SET(CURLOPT_UPLOAD, 1L) ||
            !SET(CURLOPT_INFILESIZE_LARGE, (curl_off_t)forward->upload.left) ||
            !SET(CURLOPT_READFUNCTION, forward_on_read) || !SET(CURLOPT_READDATA, forward))
            return false;
    } else if (has_body && (!SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.length) ||
                            !SET(CURLOPT_POSTFIELDS,
                                 request->body.length ? (const char *)request->body.bytes : "")))
        return false;
    return SET(CURLOPT_CUSTOMREQUEST, routes_method_name(request->method));
}

static bool forward_begin(struct forward *forward, const char *leader_url)
{
    forward->curl = curl_easy_init();
    if (!forward->curl)
        return false;
    forward->forwards->open_count++;
    if (!forward_set_headers(forward) || !forward_set_connection(forward) ||
        !forward_set_request(forward, leader_url) ||
        curl_multi_add_handle(forward->forwards->multi, forward->curl))
        return false;
    forwards_make_room(forward->forwards);
    return true;
}

static struct forward *forward_new(struct forwards *forwards, struct request *request,
                                   uint64_t wait_ms)
{
    if (forwards->open_count == HTTPD_FORWARDS_MAX)
        return NULL;
    struct forward *forward = memory_new_zeroed(1, sizeof(*forward));
    forward->forwards = forwards;
    forward->is_write = request->method != METHOD_GET && request->method != METHOD_HEAD;
    forward->wait_ms = wait_ms + HTTPD_CALL_SLACK_MS;
    TAILQ_INSERT_TAIL(&forwards->all, forward, link);
    forwards->count++;
    request_take_slot(request, &forward->request);
    forward->piece_ms = loop_now_ms(forwards->httpd->loop);
    forward_set_timer(forward, forward->wait_ms);
    return forward;
}

void forward_request(struct forwards *forwards, struct request *request, const char *leader_url,
                     uint64_t wait_ms)
{
    struct problem problem;
    struct forward *forward = forward_new(forwards, request, wait_ms);
    if (!forward) {
        problem_set_unavailable(&problem, "overloaded: too many requests are being passed on");
        request_answer_problem(request, &problem);
        return;
    }
    patience_end(request);    /* what was left of it was for this node's part */
    request_suspend(request); /* its body is being sent */
    if (!forward_begin(forward, leader_url))
        forward_fail(forward, "out of memory");
}

struct forward *forward_begin_upload(struct forwards *forwards, struct request *request,
                                     const char *leader_url)
{
    struct forward *forward = forward_new(forwards, request, LIMIT_WRITE_MS_MAX);
    if (!forward)
        return NULL;
    forward->upload = (struct upload){.is_used = true, .left = request->findings.content_length};
    if (forward_begin(forward, leader_url))
        return forward;
    request->slot = NULL;
    forward_free(forward);
    return NULL;
}

/* ---- all of them ---- */

void forwards_init(struct forwards *forwards, struct httpd *httpd)
{
    forwards->httpd = httpd;
    TAILQ_INIT(&forwards->all);
}

void forwards_finish(struct forwards *forwards)
{
    struct forward *forward = TAILQ_FIRST(&forwards->all), *next;
    for (; forward; forward = next) {
        next = TAILQ_NEXT(forward, link);
        forward_break(forward, "this node is stopping");
    }
}
