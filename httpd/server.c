/* libmicrohttpd has no thread here: its epoll descriptor is watched like any other, and MHD_run is
 * called at the end of a turn in which it became ready, something was resumed, or its clock is due.
 * Of a resumed connection it learns only when it runs: so it runs again until MHD_get_timeout asks
 * for a wait. It may ask for none and have nothing to do: while requests wait in place, or when it
 * can go on with a connection neither way. Then what its callbacks saw decides (server_wake), and a
 * slow clock for what they cannot see.
 *
 * libmicrohttpd closes a connection by shutting down its sending side and closing the descriptor;
 * in between it calls server_on_connection, where a lingering end is taken over. */
#include "server.h"

#include "clock.h"
#include "deadlines.h"
#include "lingerers.h"
#include "logger.h"
#include "request.h"

#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

struct connection {
    struct server *server;
    TAILQ_ENTRY(connection) link;
    uint64_t idle_since_ms;
    bool busy;           /* between a target and the end of its answer */
    bool has_served;     /* at least one request */
    bool shut;           /* told to end by the drain: what came before is still answered */
    bool refused;        /* over a cap: told so, and not counted */
    bool late;           /* its deadline is over: nothing of it is carried out any more */
    uint8_t address[16]; /* the client's; of IPv4: mapped (RFC 4291, 2.5.5.2) */
    struct deadline deadline;
    uint64_t body_begun_ms, body_bytes;
    struct request request;
};

TAILQ_HEAD(connection_list, connection);

struct server {
    struct httpd *httpd;
    struct MHD_Daemon *daemon;
    struct loop_source *source;
    struct loop_timer timer;
    unsigned waiting_count; /* requests in place */
    unsigned idle_passes;   /* of libmicrohttpd, in which no callback saw anything */
    struct loop_timer look_timer;
    struct lingerers *lingerers;
    struct connection_list connections;
    struct deadlines deadlines;
    unsigned connections_count, connections_max;
    unsigned sockets_count; /* with those that are being refused */
    bool wanted;            /* MHD_run has something to do */
    bool held;              /* and must not, yet */
    struct loop_timer hold_timer;
    struct loop_timer drain_timer;
    uint64_t drain_began_ms;
    loop_fn *on_drained;
};

/* ---- connections ---- */

static void connection_read_address(struct connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection->request.mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr *address = info ? info->client_addr : NULL;
    if (address && address->sa_family == AF_INET6) {
        memcpy(connection->address,
               &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr, 16);
    } else if (address && address->sa_family == AF_INET) {
        memset(connection->address + 10, 0xff, 2);
        memcpy(connection->address + 12,
               &((const struct sockaddr_in *)(const void *)address)->sin_addr, 4);
    }
}

/* How many of those that count are of the same client; only asked when there are many of all. */
static unsigned server_count_address(const struct server *server,
                                     const struct connection *connection)
{
    const struct connection *other;
    unsigned count = 0;
    TAILQ_FOREACH(other, &server->connections, link)
    {
        count += !other->refused && !memcmp(other->address, connection->address, 16);
    }
    return count;
}

/* 0, or the status of the refusal in `problem`. */
static int server_admit(const struct server *server, const struct connection *connection,
                        struct problem *problem)
{
    unsigned of_one = HTTPD_CONNECTIONS_OF_ONE(server->connections_max);
    int status = 0;
    if (server->connections_count >= server->connections_max)
        status = problem_set(problem, MHD_HTTP_SERVICE_UNAVAILABLE,
                             "this node has its %u connections", server->connections_max);
    else if (server->connections_count >= of_one &&
             server_count_address(server, connection) >= of_one)
        status = problem_set(problem, MHD_HTTP_TOO_MANY_REQUESTS,
                             "your address has its %u connections to this node", of_one);
    if (status)
        problem->retry_after_s = 1;
    return status;
}

/* Nothing of it is read: libmicrohttpd finds it ended. */
static void connection_refuse(struct connection *connection, const struct problem *problem)
{
    connection->request.begun_us = clock_monotonic_us();
    request_refuse_raw(&connection->request, problem);
    connection->refused = connection->late = true;
    (void)shutdown(connection->request.fd, SHUT_RDWR);
    server_wake(connection->server);
}

static void connection_open(struct server *server, struct MHD_Connection *mhd, void **context)
{
    struct problem problem;
    struct connection *connection = memory_new_zeroed(1, sizeof(*connection));
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
    connection->server = server;
    connection->idle_since_ms = loop_now_ms(server->httpd->loop);
    connection->request.httpd = server->httpd;
    connection->request.mhd = mhd;
    connection->request.fd = info->connect_fd;
    connection_read_address(connection);
    server->sockets_count++;
    if (server_admit(server, connection, &problem))
        connection_refuse(connection, &problem);
    else
        server->connections_count++;
    TAILQ_INSERT_TAIL(&server->connections, connection, link);
    deadline_add(&server->deadlines, &connection->deadline);
    deadline_set(&server->deadlines, &connection->deadline, LIMIT_HTTP_IDLE_MS_MAX);
    *context = connection;
}

static void connection_close(struct connection *connection)
{
    struct server *server = connection->server;
    if (connection->request.linger)
        lingerers_take(server->lingerers, connection->request.fd);
    server->connections_count -= !connection->refused;
    if (server->sockets_count-- == server->connections_max + HTTPD_REFUSALS_MAX)
        server_wake(server); /* listens again, but only once it runs */
    TAILQ_REMOVE(&server->connections, connection, link);
    deadline_remove(&server->deadlines, &connection->deadline);
    request_free(&connection->request);
    free(connection);
}

static void server_on_connection(void *context, struct MHD_Connection *mhd, void **socket_context,
                                 enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        connection_open(context, mhd, socket_context);
    else if (*socket_context)
        connection_close(*socket_context);
}

/* ---- deadlines ---- */

/* libmicrohttpd's own timeout begins anew with each byte: a trickle would hold a connection for
 * ever. */
static void server_on_deadline(void *context, struct deadline *deadline)
{
    struct connection *connection =
        (struct connection *)(void *)((char *)deadline - offsetof(struct connection, deadline));
    struct problem problem;
    if (connection->request.suspended) { /* amid its body: the leader has not taken it yet */
        deadline_set(&connection->server->deadlines, deadline, HTTPD_BODY_MS_MAX);
        return;
    }
    if (connection->busy) {
        problem_set(&problem, MHD_HTTP_REQUEST_TIMEOUT, "the request did not come in time: %s",
                    connection->request.state == REQUEST_HEAD ? "its head" : "its body");
        request_refuse_raw(&connection->request, &problem);
    }
    connection->late = true;
    /* Both ways: with the receiving side alone, libmicrohttpd goes on reading what still comes. */
    (void)shutdown(connection->request.fd, SHUT_RDWR);
    server_wake(context);
}

static void connection_set_deadline(struct connection *connection, uint64_t wait_ms)
{
    deadline_set(&connection->server->deadlines, &connection->deadline, wait_ms);
}

/* A body may take longer the more of it there is. */
static void connection_on_body(struct connection *connection, size_t bytes)
{
    uint64_t now_ms = loop_now_ms(connection->server->httpd->loop);
    if (!connection->body_begun_ms)
        connection->body_begun_ms = now_ms;
    connection->body_bytes += bytes;
    uint64_t whole_ms =
        HTTPD_BODY_MS_MAX + connection->body_bytes * 1000 / HTTPD_BODY_BYTES_PER_S_MIN;
    uint64_t lasted_ms = now_ms - connection->body_begun_ms;
    connection_set_deadline(connection, whole_ms > lasted_ms ? whole_ms - lasted_ms : 0);
}

/* ---- requests ---- */

static void *server_on_target(void *context, const char *target, struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct connection *connection = info->socket_context;
    (void)context;
    connection->busy = true;
    connection->body_begun_ms = connection->body_bytes = 0;
    connection_set_deadline(connection, HTTPD_HEAD_MS_MAX);
    request_begin(&connection->request, target ? target : "");
    return connection;
}

static enum MHD_Result server_on_access(void *context, struct MHD_Connection *mhd, const char *url,
                                        const char *method, const char *version, const char *upload,
                                        size_t *upload_bytes, void **request_context)
{
    struct connection *connection = *request_context;
    (void)context, (void)mhd, (void)url;
    if (!connection || connection->late)
        return MHD_NO;
    bool goes_on;
    if (connection->request.state == REQUEST_HEAD) {
        goes_on = request_on_head(&connection->request, method, version);
        connection_on_body(connection, 0);
    } else if (*upload_bytes) {
        goes_on = request_on_body(&connection->request, upload, *upload_bytes);
        connection_on_body(connection, *upload_bytes);
        server_wake(connection->server); /* there may be more */
        *upload_bytes = 0;
    } else {
        if (!connection->request.in_place)
            connection_set_deadline(connection, UINT64_MAX);
        goes_on = request_on_whole(&connection->request);
    }
    return goes_on ? MHD_YES : MHD_NO;
}

static void server_on_completed(void *context, struct MHD_Connection *mhd, void **request_context,
                                enum MHD_RequestTerminationCode code)
{
    struct connection *connection = *request_context;
    (void)context, (void)mhd, (void)code;
    if (!connection)
        return;
    request_end(&connection->request);
    connection->busy = false;
    connection->has_served = true;
    connection->idle_since_ms = loop_now_ms(connection->server->httpd->loop);
    connection_set_deadline(connection, LIMIT_HTTP_IDLE_MS_MAX);
    *request_context = NULL;
}

/* Targets are decoded here and nowhere else: libmicrohttpd's own decoding ends at %00. */
static size_t server_on_unescape(void *context, struct MHD_Connection *mhd, char *text)
{
    (void)context, (void)mhd;
    return strlen(text);
}

/* A Content-Length that libmicrohttpd cannot read makes it answer with two heads, one behind the
 * other. It says so in its log before it does: between the end of a head and the first call of
 * server_on_access it logs nothing else. So whoever is there now is answered from here. */
static void server_refuse_unreadable(struct server *server)
{
    struct connection *connection;
    struct problem problem;
    TAILQ_FOREACH(connection, &server->connections, link)
    {
        if (!connection->busy || connection->late || connection->request.state != REQUEST_HEAD)
            continue;
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(
            connection->request.mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
        if (!info || !info->header_size)
            continue;
        problem_set(&problem, MHD_HTTP_BAD_REQUEST, "Content-Length is not a number");
        request_refuse_raw(&connection->request, &problem);
    }
}

__attribute__((format(printf, 2, 0))) static void server_on_log(void *context, const char *format,
                                                                va_list arguments)
{
    char text[512], quoted[600];
    server_refuse_unreadable(context);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    text[strcspn(text, "\n")] = '\0';
    logger_debug("microhttpd", "text=%s", logger_quoted(quoted, sizeof(quoted), text));
}

/* ---- turns ---- */

unsigned server_connections(const struct server *server)
{
    return server->connections_count;
}

void server_wake(struct server *server)
{
    server->wanted = true;
    server->idle_passes = 0;
}

static void server_on_ready(void *context, uint32_t epoll_events)
{
    (void)epoll_events;
    server_wake(context);
}

static void server_on_timer(void *context)
{
    server_wake(context);
}

/* All connections time out equally late, so that the first to do so changes only to a later one:
 * the timer is left as it is, fires early, and is set again. */
static void server_set_timer(struct server *server, uint64_t wait_ms)
{
    if (!server->timer.place)
        loop_timer_set(server->httpd->loop, &server->timer,
                       loop_now_ms(server->httpd->loop) + wait_ms, server_on_timer, server);
}

void server_begin_waiting(struct server *server)
{
    server->waiting_count++;
    if (server_is_crowded(server))
        server_wake(server);
}

bool server_is_crowded(const struct server *server)
{
    return server->waiting_count > HTTPD_IN_PLACE_MAX;
}

void server_end_waiting(struct server *server)
{
    server->waiting_count--;
}

static void server_look_later(struct server *server)
{
    if (!server->look_timer.place)
        loop_timer_set(server->httpd->loop, &server->look_timer,
                       loop_now_ms(server->httpd->loop) + HTTPD_IN_PLACE_LOOK_MS, server_on_timer,
                       server);
}

void server_run(struct server *server)
{
    MHD_UNSIGNED_LONG_LONG wait_ms = 0;
    for (unsigned i = 0; server->wanted && !server->held && i < HTTPD_RUNS_MAX; i++) {
        server->wanted = false;
        (void)MHD_run(server->daemon);
        if (MHD_get_timeout(server->daemon, &wait_ms) != MHD_YES)
            continue;
        if (wait_ms > 0)
            server_set_timer(server, wait_ms);
        else if (server->waiting_count || ++server->idle_passes > HTTPD_IDLE_PASSES_MAX)
            server_look_later(server);
        else
            server->wanted = true;
    }
}

static void server_check_drain(struct server *server)
{
    struct httpd *httpd = server->httpd;
    uint64_t lasted_ms = loop_now_ms(httpd->loop) - server->drain_began_ms;
    bool is_over = lasted_ms >= HTTPD_DRAIN_MS_MAX;
    bool is_empty = TAILQ_EMPTY(&server->connections) && lingerers_is_empty(server->lingerers);
    if (!server->on_drained || (!is_over && !is_empty))
        return;
    loop_fn *on_drained = server->on_drained;
    server->on_drained = NULL;
    loop_timer_cancel(httpd->loop, &server->drain_timer);
    on_drained(httpd);
}

void server_check(struct server *server)
{
    server_check_drain(server);
    if (server->wanted && !server->held)
        loop_again(server->httpd->loop);
}

/* ---- the beginning ---- */

static void server_end_hold(void *context)
{
    struct server *server = context;
    server->held = false;
}

void server_on_edges_up(struct server *server)
{
    loop_timer_cancel(server->httpd->loop, &server->hold_timer);
    server_end_hold(server);
}

/* ---- the end ---- */

/* An idle connection is ended by closing its receiving side: libmicrohttpd sees the end of the
 * stream once it has read, and answered, all that came before. */
static void server_end_idle(struct server *server)
{
    uint64_t now_ms = loop_now_ms(server->httpd->loop);
    struct connection *connection;
    TAILQ_FOREACH(connection, &server->connections, link)
    {
        uint64_t wait_ms =
            connection->has_served ? HTTPD_DRAIN_IDLE_MS_MAX : HTTPD_DRAIN_FRESH_MS_MAX;
        if (connection->busy || connection->shut || now_ms < connection->idle_since_ms + wait_ms ||
            now_ms < server->drain_began_ms + HTTPD_DRAIN_IDLE_MS_MAX)
            continue;
        connection->shut = true;
        (void)shutdown(connection->request.fd, SHUT_RD);
    }
}

static void server_on_drain_timer(void *context)
{
    struct server *server = context;
    struct loop *loop = server->httpd->loop;
    server_end_idle(server);
    server_wake(server);
    loop_timer_set(loop, &server->drain_timer, loop_now_ms(loop) + HTTPD_DRAIN_POLL_MS,
                   server_on_drain_timer, server);
}

void server_drain(struct server *server, loop_fn *on_drained)
{
    if (server->httpd->draining)
        return;
    server->httpd->draining = true;
    server->on_drained = on_drained;
    server->drain_began_ms = loop_now_ms(server->httpd->loop);
    (void)MHD_quiesce_daemon(server->daemon);
    server_on_drain_timer(server);
}

/* ---- life ---- */

/* How many connections the process may have open, after asking for as many as wanted. */
static int server_find_room(unsigned *ret_connections_max, struct error *error)
{
    struct rlimit limit;
    rlim_t wanted = LIMIT_HTTP_CONNECTIONS_MAX + HTTPD_SPARE_FDS;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return error_set_errno(error, -errno, "cannot read the limit of open files");
    if (limit.rlim_cur < wanted) {
        struct rlimit raised = {.rlim_cur = wanted, .rlim_max = limit.rlim_max};
        if (limit.rlim_max < wanted)
            raised.rlim_cur = limit.rlim_max;
        if (!setrlimit(RLIMIT_NOFILE, &raised))
            limit = raised;
    }
    if (limit.rlim_cur < HTTPD_SPARE_FDS + HTTPD_CONNECTIONS_MIN)
        return error_set(error, -EMFILE, "the limit of open files is %llu, want at least %u",
                         (unsigned long long)limit.rlim_cur,
                         HTTPD_SPARE_FDS + HTTPD_CONNECTIONS_MIN);
    *ret_connections_max = limit.rlim_cur < wanted ? (unsigned)limit.rlim_cur - HTTPD_SPARE_FDS
                                                   : LIMIT_HTTP_CONNECTIONS_MAX;
    return 0;
}

static struct MHD_Daemon *server_start(struct server *server, int listen_fd)
{
    unsigned flags = MHD_USE_EPOLL | MHD_USE_ERROR_LOG | MHD_ALLOW_SUSPEND_RESUME;
    return MHD_start_daemon(
        flags, 0, NULL, NULL, server_on_access, server,    /* */
        MHD_OPTION_EXTERNAL_LOGGER, server_on_log, server, /* first, as it asks */
        MHD_OPTION_LISTEN_SOCKET, listen_fd,               /* */
        MHD_OPTION_CONNECTION_LIMIT, server->connections_max + HTTPD_REFUSALS_MAX, /* */
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTPD_CONNECTION_BYTES_MAX,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)LIMIT_HTTP_IDLE_MS_MAX / 1000u, /* */
        MHD_OPTION_NOTIFY_CONNECTION, server_on_connection, server,              /* */
        MHD_OPTION_NOTIFY_COMPLETED, server_on_completed, server,                /* */
        MHD_OPTION_URI_LOG_CALLBACK, server_on_target, server,                   /* */
        MHD_OPTION_UNESCAPE_CALLBACK, server_on_unescape, server,                /* */
        MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_END);
}

static int server_watch(struct server *server)
{
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    if (!info)
        return -EINVAL;
    return loop_watch(server->httpd->loop, info->epoll_fd, EPOLLIN, server_on_ready, server,
                      &server->source);
}

int server_new(struct server **ret_server, struct httpd *httpd, int listen_fd, struct error *error)
{
    unsigned connections_max = 0;
    int code = server_find_room(&connections_max, error);
    if (code)
        return code;
    struct server *server = memory_new_zeroed(1, sizeof(*server));
    server->httpd = httpd;
    server->connections_max = connections_max;
    TAILQ_INIT(&server->connections);
    deadlines_init(&server->deadlines, httpd->loop, server_on_deadline, server);
    server->lingerers = lingerers_new(httpd->loop);
    server->daemon = server_start(server, listen_fd);
    code = server->daemon ? server_watch(server) : -EINVAL;
    if (code) {
        server_free(server);
        return error_set_errno(error, code, "cannot start the HTTP server");
    }
    server->held = true;
    loop_timer_set(httpd->loop, &server->hold_timer, clock_monotonic_ms() + HTTPD_HOLD_MS_MAX,
                   server_end_hold, server);
    server_wake(server);
    *ret_server = server;
    return 0;
}

void server_free(struct server *server)
{
    if (!server)
        return;
    struct loop *loop = server->httpd->loop;
    loop_unwatch(loop, server->source);
    loop_timer_cancel(loop, &server->timer);
    loop_timer_cancel(loop, &server->look_timer);
    loop_timer_cancel(loop, &server->hold_timer);
    loop_timer_cancel(loop, &server->drain_timer);
    if (server->daemon) {
        (void)MHD_quiesce_daemon(server->daemon); /* the listening socket stays the caller's */
        MHD_stop_daemon(server->daemon);
    }
    deadlines_finish(&server->deadlines);
    lingerers_free(server->lingerers);
    free(server);
}
