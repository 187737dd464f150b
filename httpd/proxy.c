/* libcurl sends a request again if a connection that was used before turns out to be closed and
 * nothing has come back: it cannot know whether the request was read. It tells of each sending just
 * before (CURLOPT_PREREQFUNCTION): the second one of a write is stopped there. The same call
 * decides, if there is no answer, between "nothing was sent" and "outcome unknown". */
#include "proxy.h"

#include "limits.h"
#include "logger.h"
#include "patience.h"
#include "reply.h"
#include "routes.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>

struct forward;
TAILQ_HEAD(forward_list, forward);

struct proxy {
    struct httpd *httpd;
    CURLM *multi;
    struct loop_timer timer;
    struct forward_list forwards;
    unsigned forwards_count;
};

/* A socket that libcurl wants watched. */
struct proxy_socket {
    struct proxy *proxy;
    curl_socket_t fd;
    struct loop_source *source;
};

/* A request on its way. */
struct forward {
    struct request *request; /* first: it is the request's slot */
    struct proxy *proxy;
    TAILQ_ENTRY(forward) link;
    CURL *curl;
    struct curl_slist *headers;
    struct loop_timer timer;
    struct buffer body; /* of the answer */
    unsigned sendings;
    bool is_write;
    bool is_over_limit; /* the answer */
    char reason[CURL_ERROR_SIZE];
};

/* ---- answers ---- */

static void forward_free(struct forward *forward)
{
    struct proxy *proxy = forward->proxy;
    loop_timer_cancel(proxy->httpd->loop, &forward->timer);
    TAILQ_REMOVE(&proxy->forwards, forward, link);
    proxy->forwards_count--;
    if (forward->curl) {
        (void)curl_multi_remove_handle(proxy->multi, forward->curl);
        curl_easy_cleanup(forward->curl);
    }
    curl_slist_free_all(forward->headers);
    buffer_free(&forward->body);
    free(forward);
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
    if (forward->sendings == 0) {
        problem_set(&problem, MHD_HTTP_SERVICE_UNAVAILABLE,
                    "the leader cannot be reached: %.120s; nothing was done", why);
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

static void forward_on_timer(void *context)
{
    forward_fail(context, "it took too long");
}

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

static struct MHD_Response *forward_make_answer(struct forward *forward)
{
    struct curl_header *header = NULL;
    curl_off_t head_bytes = 0;
    struct MHD_Response *answer;
    if (forward->request->method == METHOD_HEAD) {
        (void)curl_easy_getinfo(forward->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &head_bytes);
        answer = reply_head(head_bytes > 0 ? (uint64_t)head_bytes : 0);
    } else {
        answer = reply_passed(&forward->body);
    }
    while ((header = curl_easy_nextheader(forward->curl, CURLH_HEADER, -1, header)))
        if (is_passed(header->name)) /* a name or value that is malformed is left out */
            (void)MHD_add_response_header(answer, header->name, header->value);
    return answer;
}

static void forward_on_end(struct forward *forward, CURLcode code)
{
    long status = 0;
    const char *why = forward->reason[0] ? forward->reason : curl_easy_strerror(code);
    (void)curl_easy_getinfo(forward->curl, CURLINFO_RESPONSE_CODE, &status);
    if (forward->is_over_limit)
        why = "the answer is too large to be passed on";
    else if (forward->sendings > 1 && forward->is_write)
        why = "the connection ended";
    if (code == CURLE_OK && status >= 200 && status <= 599)
        forward_answer(forward, (unsigned)status, forward_make_answer(forward));
    else
        forward_fail(forward, why);
}

/* ---- libcurl's calls about one request ---- */

static int forward_before_sending(void *context, char *ip, char *own_ip, int port, int own_port)
{
    struct forward *forward = context;
    (void)ip, (void)own_ip, (void)port, (void)own_port;
    forward->sendings++;
    return forward->is_write && forward->sendings > 1 ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

static size_t forward_on_body(char *bytes, size_t one, size_t length, void *context)
{
    struct forward *forward = context;
    (void)one; /* always 1 */
    if (forward->body.length + length > HTTPD_FORWARDED_ANSWER_BYTES_MAX ||
        !request_reserve(forward->request, length)) {
        forward->is_over_limit = true;
        return CURL_WRITEFUNC_ERROR;
    }
    buffer_append(&forward->body, bytes, length);
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
    const char *node_id = forward->proxy->httpd->config->node_id;
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
    if (has_body &&
        (!SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.length) ||
         !SET(CURLOPT_POSTFIELDS, request->body.length ? (const char *)request->body.bytes : "")))
        return false;
    return SET(CURLOPT_CUSTOMREQUEST, routes_method_name(request->method));
}

static bool forward_begin(struct forward *forward, const char *leader_url)
{
    forward->curl = curl_easy_init();
    return forward->curl && forward_set_headers(forward) && forward_set_connection(forward) &&
           forward_set_request(forward, leader_url) &&
           !curl_multi_add_handle(forward->proxy->multi, forward->curl);
}

void proxy_forward(struct proxy *proxy, struct request *request, const char *leader_url,
                   uint64_t wait_ms)
{
    struct problem problem;
    struct loop *loop = proxy->httpd->loop;
    if (proxy->forwards_count == HTTPD_FORWARDS_MAX) {
        problem_set_unavailable(&problem, "overloaded: too many requests are being passed on");
        request_answer_problem(request, &problem);
        return;
    }
    patience_end(request); /* what was left of it was for this node's part */
    struct forward *forward = memory_new_zeroed(1, sizeof(*forward));
    forward->proxy = proxy;
    forward->is_write = request->method != METHOD_GET && request->method != METHOD_HEAD;
    TAILQ_INSERT_TAIL(&proxy->forwards, forward, link);
    proxy->forwards_count++;
    request_take_slot(request, &forward->request);
    request_suspend(request); /* its body is being sent */
    loop_timer_set(loop, &forward->timer, loop_now_ms(loop) + wait_ms + HTTPD_CALL_SLACK_MS,
                   forward_on_timer, forward);
    if (!forward_begin(forward, leader_url))
        forward_fail(forward, "out of memory");
}

/* ---- libcurl in the loop ---- */

static void proxy_collect(struct proxy *proxy)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(proxy->multi, &left))) {
        struct forward *forward = NULL;
        CURLcode code = message->data.result;
        (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&forward);
        forward_on_end(forward, code);
    }
}

static void proxy_act(struct proxy *proxy, curl_socket_t fd, int events)
{
    int running;
    (void)curl_multi_socket_action(proxy->multi, fd, events, &running);
    proxy_collect(proxy);
}

static void proxy_on_ready(void *context, uint32_t epoll_events)
{
    struct proxy_socket *socket = context; /* may be gone behind proxy_act */
    int events = 0;
    if (epoll_events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        events |= CURL_CSELECT_IN;
    if (epoll_events & (EPOLLOUT | EPOLLERR))
        events |= CURL_CSELECT_OUT;
    proxy_act(socket->proxy, socket->fd, events);
}

static void proxy_on_timer(void *context)
{
    proxy_act(context, CURL_SOCKET_TIMEOUT, 0);
}

static int proxy_set_timer(CURLM *multi, long wait_ms, void *context)
{
    struct proxy *proxy = context;
    struct loop *loop = proxy->httpd->loop;
    (void)multi;
    if (wait_ms < 0)
        loop_timer_cancel(loop, &proxy->timer);
    else
        loop_timer_set(loop, &proxy->timer, loop_now_ms(loop) + (uint64_t)wait_ms, proxy_on_timer,
                       proxy);
    return 0;
}

static int proxy_set_socket(CURL *curl, curl_socket_t fd, int what, void *context,
                            void *socket_context)
{
    struct proxy *proxy = context;
    struct proxy_socket *socket = socket_context;
    struct loop *loop = proxy->httpd->loop;
    uint32_t events = (what & CURL_POLL_IN ? EPOLLIN : 0u) | (what & CURL_POLL_OUT ? EPOLLOUT : 0u);
    int code;
    (void)curl;
    if (what == CURL_POLL_REMOVE) {
        if (socket)
            loop_unwatch(loop, socket->source);
        free(socket);
        return 0;
    }
    if (socket)
        return loop_watch_change(loop, socket->source, events) ? -1 : 0;
    socket = memory_new_zeroed(1, sizeof(*socket));
    socket->proxy = proxy;
    socket->fd = fd;
    code = loop_watch(loop, fd, events, proxy_on_ready, socket, &socket->source);
    if (code) {
        logger_error("proxy_socket", "errno=%d", -code);
        free(socket);
        return -1; /* libcurl ends what it has under way */
    }
    (void)curl_multi_assign(proxy->multi, fd, socket);
    return 0;
}

/* ---- life ---- */

#define SET_MULTI(option, value) (!curl_multi_setopt(proxy->multi, option, value))

static bool proxy_prepare(struct proxy *proxy)
{
    proxy->multi = curl_multi_init();
    return proxy->multi && SET_MULTI(CURLMOPT_SOCKETFUNCTION, proxy_set_socket) &&
           SET_MULTI(CURLMOPT_SOCKETDATA, proxy) &&
           SET_MULTI(CURLMOPT_TIMERFUNCTION, proxy_set_timer) &&
           SET_MULTI(CURLMOPT_TIMERDATA, proxy) &&
           SET_MULTI(CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING) &&
           SET_MULTI(CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)HTTPD_FORWARD_CONNECTIONS_MAX) &&
           SET_MULTI(CURLMOPT_MAXCONNECTS, (long)HTTPD_FORWARD_CONNECTIONS_MAX);
}

int proxy_new(struct proxy **ret_proxy, struct httpd *httpd, struct error *error)
{
    if (curl_global_init(CURL_GLOBAL_NOTHING)) /* no TLS */
        return error_set(error, -ENOMEM, "cannot set up libcurl");
    struct proxy *proxy = memory_new_zeroed(1, sizeof(*proxy));
    proxy->httpd = httpd;
    TAILQ_INIT(&proxy->forwards);
    if (!proxy_prepare(proxy)) {
        proxy_free(proxy);
        return error_set(error, -ENOMEM, "cannot set up libcurl");
    }
    *ret_proxy = proxy;
    return 0;
}

unsigned proxy_forwards(const struct proxy *proxy)
{
    return proxy->forwards_count;
}

void proxy_finish(struct proxy *proxy)
{
    while (!TAILQ_EMPTY(&proxy->forwards))
        forward_fail(TAILQ_FIRST(&proxy->forwards), "this node is stopping");
}

void proxy_free(struct proxy *proxy)
{
    if (!proxy)
        return;
    if (proxy->multi)
        (void)curl_multi_cleanup(proxy->multi); /* may still call proxy_set_socket */
    loop_timer_cancel(proxy->httpd->loop, &proxy->timer);
    free(proxy);
    curl_global_cleanup();
}
