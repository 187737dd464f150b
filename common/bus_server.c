/* The answering end of an edge. nng puts the pipe's id in front of each request's route; it is also
 * how a greeted caller is known again. Greeted callers are kept in a small table, oldest out first;
 * one that was pushed out is refused with NOT_GREETED, which ends its call, and connects anew. */
#include "bus.h"
#include "bus_nng.h"

#include "buffer.h"
#include "limits.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

struct greeted {
    uint32_t pipe; /* 0: free */
    uint32_t peer;
};

struct bus_server {
    struct bus_server_options options;
    nng_socket socket;
    struct loop_source *source;
    struct greeted greeted[LIMIT_BUS_PEERS_MAX];
    unsigned greeted_next;
    struct bus_server_counters counters;
};

/* ---- replies ---- */

void bus_reply(struct bus_server *server, const struct bus_route *route, uint16_t type,
               const struct buffer *body)
{
    struct frame frame = {
        .type = type,
        .correlation = route->correlation,
        .epoch = server->options.epoch,
        .body = body ? body->bytes : NULL,
        .body_bytes = body ? (uint32_t)body->length : 0,
    };
    (void)bus_nng_send(server->socket, route->words, route->words_count, &frame);
}

void bus_refuse(struct bus_server *server, const struct bus_route *route, uint16_t status,
                const char *text)
{
    struct buffer body = {0};
    server->counters.refused++;
    wire_put_u16(&body, status);
    wire_put_text(&body, text);
    bus_reply(server, route, FRAME_TYPE_REFUSED, &body);
    buffer_free(&body);
}

/* ---- callers ---- */

static struct greeted *greeted_find(struct bus_server *server, uint32_t pipe)
{
    for (unsigned i = 0; i < LIMIT_BUS_PEERS_MAX; i++)
        if (server->greeted[i].pipe == pipe)
            return &server->greeted[i];
    return NULL;
}

static void server_on_hello(struct bus_server *server, struct bus_request *request)
{
    struct buffer welcome = {0};
    struct error error = {""};
    uint32_t peer = 0;
    if (server->options.on_hello(server->options.context, &request->body, &peer, &welcome,
                                 &error)) {
        bus_refuse(server, &request->route, BUS_STATUS_BAD_REQUEST, error.text);
    } else {
        struct greeted *greeted = greeted_find(server, request->route.words[0]);
        if (!greeted) {
            greeted = &server->greeted[server->greeted_next];
            server->greeted_next = (server->greeted_next + 1) % LIMIT_BUS_PEERS_MAX;
        }
        *greeted = (struct greeted){.pipe = request->route.words[0], .peer = peer};
        bus_reply(server, &request->route, FRAME_TYPE_WELCOME, &welcome);
    }
    buffer_free(&welcome);
}

static void server_on_frame(struct bus_server *server, struct bus_request *request, uint64_t epoch)
{
    if (request->type == FRAME_TYPE_HELLO) {
        server_on_hello(server, request);
        return;
    }
    struct greeted *greeted = greeted_find(server, request->route.words[0]);
    if (epoch != server->options.epoch) {
        bus_refuse(server, &request->route, BUS_STATUS_STALE_EPOCH,
                   "meant for a process that is gone");
    } else if (!greeted) {
        bus_refuse(server, &request->route, BUS_STATUS_NOT_GREETED, "a call before HELLO");
    } else {
        request->peer = greeted->peer;
        server->counters.requests++;
        server->options.on_request(server->options.context, request);
    }
}

/* ---- frames ---- */

/* nng's header is the route back: the pipe's id and the request's, in network order. */
static bool route_read(nng_msg *message, struct bus_route *ret_route)
{
    struct bus_route route = {0};
    size_t bytes = nng_msg_header_len(message);
    if (bytes < 2 * sizeof(uint32_t) || bytes > sizeof(route.words) || bytes % sizeof(uint32_t))
        return false;
    const uint8_t *at = nng_msg_header(message);
    route.words_count = (uint32_t)(bytes / sizeof(uint32_t));
    for (uint32_t i = 0; i < route.words_count; i++)
        route.words[i] = __builtin_bswap32(wire_load_u32(at + i * sizeof(uint32_t)));
    if (route.words[0] == 0)
        return false;
    *ret_route = route;
    return true;
}

static void server_on_message(struct bus_server *server, nng_msg *message)
{
    struct bus_request request = {0};
    struct frame frame;
    if (!route_read(message, &request.route) ||
        frame_decode(nng_msg_body(message), nng_msg_len(message), &frame)) {
        server->counters.refused++;
        return; /* no correlation can be trusted, so nobody can be answered */
    }
    request.route.correlation = frame.correlation;
    request.type = frame.type;
    request.body = wire_reader_of(frame.body, frame.body_bytes);
    server_on_frame(server, &request, frame.epoch);
}

static void server_on_receivable(void *context, uint32_t epoll_events)
{
    struct bus_server *server = context;
    (void)epoll_events;
    for (unsigned i = 0; i < LIMIT_BUS_DRAIN_FRAMES; i++) {
        nng_msg *message = bus_nng_receive(server->socket);
        if (!message)
            return;
        server_on_message(server, message);
        nng_msg_free(message);
    }
}

/* ---- life ---- */

static int server_listen(struct bus_server *server, struct error *error)
{
    int receive_fd;
    int code = bus_nng_configure(server->socket, error);
    if (code)
        return code;
    code = nng_socket_get_int(server->socket, NNG_OPT_RECVFD, &receive_fd);
    if (!code)
        code = nng_listen(server->socket, server->options.url, NULL, 0);
    if (code)
        return error_set(error, bus_nng_errno(code), "cannot listen on %s: %s", server->options.url,
                         nng_strerror(code));
    code = loop_watch(server->options.loop, receive_fd, EPOLLIN, server_on_receivable, server,
                      &server->source);
    if (code)
        return error_set_errno(error, code, "cannot watch %s", server->options.url);
    return 0;
}

int bus_server_new(struct bus_server **ret_server, const struct bus_server_options *options,
                   struct error *error)
{
    struct bus_server *server = memory_new_zeroed(1, sizeof(*server));
    server->options = *options;
    int code = nng_rep0_open_raw(&server->socket);
    if (code) {
        free(server);
        return error_set(error, bus_nng_errno(code), "cannot open a bus socket: %s",
                         nng_strerror(code));
    }
    code = server_listen(server, error);
    if (code) {
        bus_server_free(server);
        return code;
    }
    *ret_server = server;
    return 0;
}

void bus_server_free(struct bus_server *server)
{
    if (!server)
        return;
    loop_unwatch(server->options.loop, server->source);
    (void)nng_close(server->socket);
    free(server);
}

struct bus_server_counters bus_server_counters(const struct bus_server *server)
{
    return server->counters;
}
