/* The answering end of an edge: accepts connections and keeps one link for each. */
#include "bus.h"
#include "bus_stream.h"

#include "buffer.h"
#include "limits.h"

#include <stdlib.h>
#include <string.h>

#define ACCEPT_RETRY_MS 100u /* out of descriptors or memory: asked again */

struct link {
    uint64_t number; /* never used again: a reply owed to a gone caller finds nobody. 0: free */
    struct bus_server *server;
    struct bus_stream *stream;
    bool is_greeted;
    uint32_t peer; /* what on_hello said */
    struct loop_timer greeting_timer;
};

struct bus_server {
    struct bus_server_options options;
    struct bus_bell bell;
    nng_stream_listener *listener;
    struct bus_transfer accept;
    struct loop_timer accept_timer, silence_timer;
    struct link links[LIMIT_BUS_PEERS_MAX];
    uint64_t links_made;
    struct bus_server_counters counters;
};

/* ---- replies ---- */

static struct link *link_find(struct bus_server *server, uint64_t number)
{
    struct link *link = &server->links[number % LIMIT_BUS_PEERS_MAX];
    return link->number == number ? link : NULL;
}

void bus_reply(struct bus_server *server, const struct bus_route *route, uint16_t type,
               const struct buffer *body)
{
    struct link *link = link_find(server, route->link);
    struct frame frame = {
        .type = type,
        .correlation = route->correlation,
        .epoch = server->options.epoch,
        .body = body ? body->bytes : NULL,
        .body_bytes = body ? (uint32_t)body->length : 0,
    };
    if (link)
        bus_stream_send(link->stream, &frame);
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

/* ---- frames ---- */

static void link_close(void *context);

static void link_await_hello(struct link *link)
{
    struct loop *loop = link->server->options.loop;
    loop_timer_set(loop, &link->greeting_timer, loop_now_ms(loop) + LIMIT_GREETING_MS_MAX,
                   link_close, link);
}

static void link_part(struct link *link)
{
    const struct bus_server_options *options = &link->server->options;
    if (!link->is_greeted)
        return;
    link->is_greeted = false;
    if (options->on_parted)
        options->on_parted(options->context, link->peer);
}

static void server_tell_refusal(const struct bus_server *server, const char *text)
{
    if (server->options.on_refused)
        server->options.on_refused(server->options.context, text);
}

static void link_on_hello(struct link *link, struct bus_request *request)
{
    struct bus_server *server = link->server;
    struct buffer welcome = {0};
    struct error error = {""};
    if (link->is_greeted)
        link_await_hello(link);
    link_part(link);
    if (server->options.on_hello(server->options.context, &request->body, &link->peer, &welcome,
                                 &error)) {
        server_tell_refusal(server, error.text);
        bus_refuse(server, &request->route, BUS_STATUS_BAD_REQUEST, error.text);
    } else {
        link->is_greeted = true;
        loop_timer_cancel(server->options.loop, &link->greeting_timer);
        bus_stream_trust(link->stream);
        bus_reply(server, &request->route, FRAME_TYPE_WELCOME, &welcome);
    }
    buffer_free(&welcome);
}

static void link_on_frame(void *context, const struct frame *frame)
{
    struct link *link = context;
    struct bus_server *server = link->server;
    struct bus_request request = {
        .route = {.link = link->number, .correlation = frame->correlation},
        .type = frame->type,
        .peer = link->peer,
        .body = wire_reader_of(frame->body, frame->body_bytes),
    };
    if (frame->type == FRAME_TYPE_HELLO) {
        link_on_hello(link, &request);
    } else if (frame->epoch != server->options.epoch) {
        bus_refuse(server, &request.route, BUS_STATUS_STALE_EPOCH,
                   "meant for a process that is gone");
    } else if (!link->is_greeted) {
        bus_refuse(server, &request.route, BUS_STATUS_NOT_GREETED, "a call before HELLO");
    } else {
        server->counters.requests++;
        server->options.on_request(server->options.context, &request);
    }
}

/* ---- links ---- */

static void link_close(void *context)
{
    struct link *link = context;
    loop_timer_cancel(link->server->options.loop, &link->greeting_timer);
    bus_stream_free(link->stream);
    link_part(link);
    *link = (struct link){0};
}

static void link_on_end(void *context, int damage)
{
    struct link *link = context;
    link->server->counters.refused += damage != 0;
    if (damage)
        server_tell_refusal(link->server, frame_outcome_text(damage));
    link_close(link);
}

void bus_server_drop(struct bus_server *server, uint32_t peer)
{
    for (unsigned i = 0; i < LIMIT_BUS_PEERS_MAX; i++)
        if (server->links[i].is_greeted && server->links[i].peer == peer)
            bus_stream_give_up(server->links[i].stream);
}

uint64_t bus_server_heard_ms(const struct bus_server *server, uint32_t peer)
{
    uint64_t newest_ms = 0;
    for (unsigned i = 0; i < LIMIT_BUS_PEERS_MAX; i++) {
        const struct link *link = &server->links[i];
        uint64_t heard_ms =
            link->is_greeted && link->peer == peer ? bus_stream_heard_ms(link->stream) : 0;
        newest_ms = heard_ms > newest_ms ? heard_ms : newest_ms;
    }
    return newest_ms;
}

static bool server_has_links(const struct bus_server *server)
{
    for (unsigned i = 0; i < LIMIT_BUS_PEERS_MAX; i++)
        if (server->links[i].number)
            return true;
    return false;
}

static void server_watch_silence(void *context)
{
    struct bus_server *server = context;
    uint64_t now_ms = loop_now_ms(server->options.loop);
    uint64_t silence_ms_max = server->options.silence_ms_max;
    for (unsigned i = 0; i < LIMIT_BUS_PEERS_MAX; i++) {
        struct link *link = &server->links[i];
        uint64_t heard_ms = link->is_greeted ? bus_stream_heard_ms(link->stream) : 0;
        if (heard_ms && now_ms - heard_ms > silence_ms_max)
            link_close(link);
    }
    if (server_has_links(server))
        loop_timer_set(server->options.loop, &server->silence_timer, now_ms + silence_ms_max / 2,
                       server_watch_silence, server);
}

/* A free place, else that of the oldest caller that has not said HELLO. */
static struct link *link_place(struct bus_server *server)
{
    struct link *place = NULL;
    for (unsigned i = 0; i < LIMIT_BUS_PEERS_MAX; i++) {
        struct link *link = &server->links[i];
        if (!link->number)
            return link;
        if (!link->is_greeted && (!place || link->number < place->number))
            place = link;
    }
    if (place)
        link_close(place);
    return place;
}

static void link_open(struct bus_server *server, nng_stream *connection)
{
    struct loop *loop = server->options.loop;
    struct link *link = link_place(server);
    if (!link) {
        nng_stream_free(connection);
        return;
    }
    struct bus_stream_options options = {
        .loop = loop,
        .bell = &server->bell,
        .connection = connection,
        .is_callee = true,
        .on_frame = link_on_frame,
        .on_end = link_on_end,
        .context = link,
    };
    link->stream = bus_stream_new(&options);
    if (!link->stream)
        return;
    link->server = server;
    link->number = ++server->links_made * LIMIT_BUS_PEERS_MAX + (uint64_t)(link - server->links);
    link_await_hello(link);
    if (server->options.silence_ms_max && !server->silence_timer.place)
        server_watch_silence(server);
}

/* ---- accepting ---- */

static void server_accept(void *context)
{
    struct bus_server *server = context;
    bus_transfer_begin(&server->accept);
    nng_stream_listener_accept(server->listener, server->accept.aio);
}

static void server_on_ring(void *context)
{
    struct bus_server *server = context;
    struct loop *loop = server->options.loop;
    int code;
    if (bus_transfer_take(&server->accept, &code)) {
        if (!code) {
            link_open(server, nng_aio_get_output(server->accept.aio, 0));
            server_accept(server);
        } else {
            loop_timer_set(loop, &server->accept_timer, loop_now_ms(loop) + ACCEPT_RETRY_MS,
                           server_accept, server);
        }
    }
    for (unsigned i = 0; i < LIMIT_BUS_PEERS_MAX; i++)
        if (server->links[i].number)
            bus_stream_on_ring(server->links[i].stream);
}

/* ---- life ---- */

static int server_listen(struct bus_server *server)
{
    int code = bus_transfer_init(&server->accept, &server->bell);
    if (!code)
        code = bus_errno(nng_stream_listener_alloc(&server->listener, server->options.url));
    if (!code && !strncmp(server->options.url, "tcp", 3))
        code = bus_errno(nng_stream_listener_set_bool(server->listener, NNG_OPT_TCP_NODELAY, true));
    if (!code)
        code = bus_errno(nng_stream_listener_listen(server->listener));
    if (!code)
        server_accept(server);
    return code;
}

int bus_server_new(struct bus_server **ret_server, const struct bus_server_options *options,
                   struct error *error)
{
    struct bus_server *server = memory_new_zeroed(1, sizeof(*server));
    server->options = *options;
    int code = bus_bell_init(&server->bell, options->loop, server_on_ring, server);
    if (code) {
        free(server);
        return error_set_errno(error, code, "cannot watch %s", options->url);
    }
    code = server_listen(server);
    if (code) {
        bus_server_free(server);
        return error_set_errno(error, code, "cannot listen on %s", options->url);
    }
    *ret_server = server;
    return 0;
}

void bus_server_free(struct bus_server *server)
{
    if (!server)
        return;
    if (server->listener)
        nng_stream_listener_close(server->listener);
    bus_transfer_end(&server->accept, true);
    nng_stream_listener_free(server->listener);
    loop_timer_cancel(server->options.loop, &server->accept_timer);
    loop_timer_cancel(server->options.loop, &server->silence_timer);
    server->options.on_parted = NULL;
    for (unsigned i = 0; i < LIMIT_BUS_PEERS_MAX; i++)
        if (server->links[i].number)
            link_close(&server->links[i]);
    bus_bell_end(&server->bell);
    free(server);
}

struct bus_server_counters bus_server_counters(const struct bus_server *server)
{
    return server->counters;
}
