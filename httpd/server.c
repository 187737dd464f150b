/* libmicrohttpd calls back only from within MHD_run. Per request: server_on_target (the raw
 * target), server_on_request once when the headers are complete, once for each piece of the body,
 * and once more at its end; again after a suspended connection is resumed, then only to queue the
 * answer; server_on_completed when the answer is out. */
#include "server.h"

#include "guard.h"
#include "inherit.h"
#include "logger.h"
#include "message.h"
#include "request.h"
#include "routes.h"

#include <errno.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define DISCARD_BYTES_MAX                                                                          \
    (1u << 20) /* of a chunked body over the limit, read on only to answer it; then the connection \
                  is cut */
#define DESCRIPTORS_SPARE 128u

struct server {
    struct httpd *httpd;
    struct MHD_Daemon *daemon;
    struct loop_source *source;
    struct loop_timer timer;
};

/* ---- one request ---- */

static void *server_on_target(void *context, const char *target, struct MHD_Connection *connection)
{
    struct server *server = context;
    struct request *request = request_new(server->httpd, target);
    request->connection = connection;
    return request;
}

static enum MHD_Result guard_on_header(void *context, enum MHD_ValueKind kind, const char *name,
                                       size_t name_length, const char *value, size_t value_length)
{
    (void)kind;
    struct guard_header header = {name, name_length, value ? value : "", value ? value_length : 0};
    guard_header(context, &header);
    return MHD_YES;
}

static bool check_guard(struct request *request, const char *version, struct guard *guard)
{
    guard_begin(guard);
    (void)MHD_get_connection_values_n(request->connection, MHD_HEADER_KIND, guard_on_header, guard);
    if (strlen(request->target) > LIMIT_HTTP_URI_BYTES_MAX && !guard->verdict)
        guard->verdict =
            error_set(&guard->reason, 414, "want at most %u bytes", LIMIT_HTTP_URI_BYTES_MAX);
    if (!guard_finish(guard, version))
        return true;
    request->close = true;
    reply_problem(request, (unsigned)guard->verdict, NULL, "%s", guard->reason.text);
    return false;
}

static bool check_route(struct request *request, const char *method)
{
    struct error error = {""};
    char allow[64];
    if (uri_parse(&request->uri, request->target, &error)) {
        reply_problem(request, 400, NULL, "%s", error.text);
        return false;
    }
    request->method = method_of(method);
    request->route = route_of(&request->uri);
    if (!request->route) {
        reply_problem(request, 404, NULL, "there is no such path");
        return false;
    }
    if (!(request->route->methods & request->method)) {
        reply_not_allowed(request, method_list(request->route->methods, allow, sizeof(allow)));
        return false;
    }
    const char *unknown = uri_unknown_parameter(&request->uri, request->route->parameters);
    if (unknown) {
        reply_problem(request, 400, NULL, "unknown query parameter \"%.32s\"", unknown);
        return false;
    }
    return true;
}

/* Only a PUT has a body; what is too long is refused before it comes. */
static bool check_body(struct request *request, const struct guard *guard)
{
    struct httpd *httpd = request->httpd;
    uint64_t bytes = guard->content_length == GUARD_LENGTH_NONE ? 0 : guard->content_length;
    uint64_t bytes_max = httpd->config->value_bytes_max;
    if (request->method != METHOD_PUT && (bytes || guard->chunked)) {
        request->close = true;
        reply_problem(request, 400, NULL, "only a PUT has a body");
    } else if (bytes > bytes_max) {
        request->close = true;
        reply_problem(request, 413, NULL,
                      "the value has %llu bytes, at most %llu are allowed; nothing was stored",
                      (unsigned long long)bytes, (unsigned long long)bytes_max);
    } else if (httpd->bodies_bytes + bytes > LIMIT_BODIES_BYTES_MAX) {
        request->close = true;
        reply_status(request, PROTO_STATUS_BUSY);
    } else {
        request->body_counted = bytes;
        httpd->bodies_bytes += bytes;
        if (bytes)
            (void)buffer_reserve(&request->body, bytes);
    }
    return request->state != REQUEST_ANSWERED;
}

static void server_on_headers(struct request *request, const char *method, const char *version)
{
    struct guard guard;
    request->state = REQUEST_RECEIVING;
    if (!check_guard(request, version, &guard) || !check_route(request, method))
        return;
    if (request->route->check)
        request->route->check(request);
    if (request->state != REQUEST_ANSWERED)
        (void)check_body(request, &guard);
}

/* A piece of the body. False: the connection is to be cut. */
static bool server_on_body(struct request *request, const char *bytes, size_t length)
{
    struct httpd *httpd = request->httpd;
    uint64_t bytes_max = httpd->config->value_bytes_max;
    request->body_seen += length;
    if (request->body_seen > bytes_max)
        return request->body_seen <= bytes_max + DISCARD_BYTES_MAX;
    if (request->body_seen > request->body_counted) { /* chunked: counted as it comes */
        uint64_t more = request->body_seen - request->body_counted;
        if (httpd->bodies_bytes + more > LIMIT_BODIES_BYTES_MAX)
            return false;
        request->body_counted += more;
        httpd->bodies_bytes += more;
    }
    buffer_append(&request->body, bytes, length);
    return true;
}

static void server_on_complete_request(struct request *request)
{
    uint64_t bytes_max = request->httpd->config->value_bytes_max;
    if (request->body_seen <= bytes_max) {
        request->route->handler(request);
        return;
    }
    request->close = true;
    reply_problem(request, 413, NULL, "the value has more than %llu bytes; nothing was stored",
                  (unsigned long long)bytes_max);
}

static enum MHD_Result server_queue_answer(struct request *request)
{
    return MHD_queue_response(request->connection, request->status, request->response);
}

static enum MHD_Result server_on_request(void *context, struct MHD_Connection *connection,
                                         const char *url, const char *method, const char *version,
                                         const char *upload, size_t *upload_length,
                                         void **connection_context)
{
    struct request *request = *connection_context;
    (void)context;
    (void)connection;
    (void)url;
    if (request->state == REQUEST_NEW) {
        server_on_headers(request, method, version);
        return request->state == REQUEST_ANSWERED ? server_queue_answer(request) : MHD_YES;
    }
    if (*upload_length > 0) {
        bool kept = server_on_body(request, upload, *upload_length);
        *upload_length = 0;
        return kept ? MHD_YES : MHD_NO;
    }
    if (request->state == REQUEST_RECEIVING)
        server_on_complete_request(request);
    return request->state == REQUEST_ANSWERED ? server_queue_answer(request) : MHD_YES;
}

static void server_on_completed(void *context, struct MHD_Connection *connection,
                                void **connection_context, enum MHD_RequestTerminationCode code)
{
    (void)context;
    (void)connection;
    (void)code;
    if (*connection_context)
        request_free(*connection_context);
    *connection_context = NULL;
}

/* ---- the library in the loop ---- */

/* Left alone: the target is decoded once, by uri.c. */
static size_t server_unescape(void *context, struct MHD_Connection *connection, char *text)
{
    (void)context;
    (void)connection;
    return strlen(text);
}

static void server_on_library_log(void *context, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));

static void server_on_library_log(void *context, const char *format, va_list arguments)
{
    char text[256], quoted[600];
    (void)context;
    vsnprintf(text, sizeof(text), format, arguments);
    text[strcspn(text, "\r\n")] = '\0';
    logger_debug("http_library", "text=%s", logger_quoted(quoted, sizeof(quoted), text));
}

static void server_on_ready(void *context, uint32_t epoll_events)
{
    struct server *server = context;
    (void)epoll_events;
    server->httpd->server_due = true;
}

static void server_on_timer(void *context)
{
    struct server *server = context;
    server->httpd->server_due = true;
}

/* The library may have more to do at once, or at some time: it must be asked after each run. */
void server_run(struct server *server)
{
    struct httpd *httpd = server->httpd;
    MHD_UNSIGNED_LONG_LONG wait_ms;
    if (!httpd->server_due)
        return;
    httpd->server_due = false;
    (void)MHD_run(server->daemon);
    loop_timer_cancel(httpd->loop, &server->timer);
    if (MHD_get_timeout(server->daemon, &wait_ms) != MHD_YES)
        return;
    if (wait_ms == 0) {
        httpd->server_due = true;
        loop_again(httpd->loop);
    } else {
        loop_timer_set(httpd->loop, &server->timer, loop_now_ms(httpd->loop) + wait_ms,
                       server_on_timer, server);
    }
}

/* ---- life ---- */

static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    rlim_t wanted = LIMIT_HTTP_CONNECTIONS_MAX + DESCRIPTORS_SPARE;
    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

static unsigned connection_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) ||
        limit.rlim_cur > LIMIT_HTTP_CONNECTIONS_MAX + DESCRIPTORS_SPARE)
        return LIMIT_HTTP_CONNECTIONS_MAX;
    return limit.rlim_cur > 2 * DESCRIPTORS_SPARE ? (unsigned)(limit.rlim_cur - DESCRIPTORS_SPARE)
                                                  : DESCRIPTORS_SPARE;
}

int server_new(struct server **ret_server, struct httpd *httpd, int listen_fd, struct error *error)
{
    struct server *server = memory_new_zeroed(1, sizeof(*server));
    server->httpd = httpd;
    raise_descriptor_limit();
    server->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL,
        server_on_request, server, MHD_OPTION_EXTERNAL_LOGGER, server_on_library_log, server,
        MHD_OPTION_LISTEN_SOCKET, listen_fd, MHD_OPTION_URI_LOG_CALLBACK, server_on_target, server,
        MHD_OPTION_UNESCAPE_CALLBACK, server_unescape, server, MHD_OPTION_NOTIFY_COMPLETED,
        server_on_completed, server, MHD_OPTION_CONNECTION_LIMIT, connection_limit(),
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)LIMIT_HTTP_HEADER_BYTES_MAX,
        MHD_OPTION_CONNECTION_TIMEOUT, LIMIT_HTTP_IDLE_MS_MAX / 1000u, MHD_OPTION_STRICT_FOR_CLIENT,
        1, MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_END);
    const union MHD_DaemonInfo *info =
        server->daemon ? MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
    int code = info ? loop_watch(httpd->loop, info->epoll_fd, EPOLLIN, server_on_ready, server,
                                 &server->source)
                    : -EIO;
    if (code) {
        if (server->daemon)
            MHD_stop_daemon(server->daemon);
        free(server);
        return error_set_errno(error, code, "cannot start the HTTP server");
    }
    httpd->server_due = true;
    *ret_server = server;
    return 0;
}

void server_drain(struct server *server)
{
    (void)MHD_quiesce_daemon(server->daemon);
    server->httpd->server_due = true;
}

unsigned server_connections(const struct server *server)
{
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);
    return info ? info->num_connections : 0;
}

void server_free(struct server *server)
{
    loop_timer_cancel(server->httpd->loop, &server->timer);
    loop_unwatch(server->httpd->loop, server->source);
    MHD_stop_daemon(server->daemon);
    free(server);
}

/* ---- a socket of our own, when started by hand ---- */

static int bind_one(const struct addrinfo *address, int *ret_fd)
{
    int on = 1, off = 0;
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (address->ai_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    if (bind(fd, address->ai_addr, address->ai_addrlen) < 0 ||
        listen(fd, LIMIT_LISTEN_BACKLOG) < 0) {
        int code = -errno;
        (void)close(fd);
        return code;
    }
    *ret_fd = fd;
    return 0;
}

int server_listen(const struct config *config, int *ret_fd, struct error *error)
{
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *addresses = NULL;
    char port[8], text[LIMIT_ADDRESS_BYTES_MAX];
    const char *host = config->http_address.host;
    config_address_format(&config->http_address, text, sizeof(text));
    snprintf(port, sizeof(port), "%u", config->http_address.port);
    *ret_fd = inherit_listen_fd();
    if (*ret_fd >= 0)
        return 0;
    int failed = getaddrinfo(host[0] ? host : "::", port, &hints, &addresses);
    if (failed)
        return error_set(error, -EINVAL, "cannot resolve http_addr %s: %s", text,
                         gai_strerror(failed));
    int code = bind_one(addresses, ret_fd);
    freeaddrinfo(addresses);
    return code ? error_set_errno(error, code, "cannot listen on http_addr %s", text) : 0;
}
