/* The calling end of an edge.
 *
 *            pipe added                WELCOME accepted
 *   DOWN  ---------------> GREETING ----------------------> UP
 *     ^                       |  ^ every second, again        |
 *     +-----------------------+--+----------------------------+
 *            pipe removed: calls in flight end with BUS_PEER_GONE
 *
 * nng tells of pipes on its own threads: the callback stores the pipe's id and rings an eventfd.
 * The loop thread compares it with the pipe it greeted, so that a peer that went and came between
 * two turns is still seen as gone. */
#include "bus.h"
#include "bus_nng.h"

#include "buffer.h"
#include "clock.h"
#include "limits.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define GREETING_RETRY_MS 1000u

enum client_state { CLIENT_DOWN, CLIENT_GREETING, CLIENT_UP };

struct call {
    uint64_t correlation; /* 0: free */
    bus_reply_fn *fn;
    void *context;
    struct bus_client *client;
    struct loop_timer timer;
};

struct bus_client {
    struct bus_client_options options;
    nng_socket socket;
    struct loop_source *receive_source, *pipe_source;
    int pipe_event_fd;
    atomic_uint pipe_live; /* written by nng's threads; 0: none */
    unsigned pipe_greeted;
    enum client_state state;
    uint64_t epoch;
    uint64_t correlation_last;
    uint64_t hello_correlation;
    struct loop_timer hello_timer;
    struct buffer hello;
    struct call calls[LIMIT_BUS_CALLS_MAX];
    unsigned calls_count;
};

/* The request id of nng's raw REQ: the high bit ends its route. Correlation is the frame's. */
static const uint32_t request_word = 0x80000001u;

static int client_send(struct bus_client *client, uint16_t type, uint64_t correlation,
                       uint64_t epoch, const struct buffer *body)
{
    struct frame frame = {
        .type = type,
        .correlation = correlation,
        .epoch = epoch,
        .body = body ? body->bytes : NULL,
        .body_bytes = body ? (uint32_t)body->length : 0,
    };
    return bus_nng_send(client->socket, &request_word, 1, &frame);
}

/* ---- calls ---- */

static void call_end(struct call *call, enum bus_end end, uint16_t type, struct wire_reader *body)
{
    struct bus_client *client = call->client;
    bus_reply_fn *fn = call->fn;
    void *context = call->context;
    loop_timer_cancel(client->options.loop, &call->timer);
    call->correlation = 0;
    client->calls_count--;
    fn(context, end, type, body);
}

static void call_on_deadline(void *context)
{
    call_end(context, BUS_TIMED_OUT, 0, NULL);
}

static struct call *call_find(struct bus_client *client, uint64_t correlation)
{
    for (unsigned i = 0; i < LIMIT_BUS_CALLS_MAX; i++)
        if (client->calls[i].correlation == correlation)
            return &client->calls[i];
    return NULL;
}

int bus_call(struct bus_client *client, uint16_t type, const struct buffer *body,
             uint64_t deadline_ms, bus_reply_fn *fn, void *context)
{
    if (client->state != CLIENT_UP)
        return BUS_DOWN;
    struct call *call = call_find(client, 0);
    if (!call)
        return BUS_FULL;
    int code = client_send(client, type, client->correlation_last + 1, client->epoch, body);
    if (code)
        return BUS_FULL; /* nng's queue is full (-EAGAIN), or memory is short: either way, later */
    call->correlation = ++client->correlation_last;
    call->fn = fn;
    call->context = context;
    client->calls_count++;
    loop_timer_set(client->options.loop, &call->timer, deadline_ms, call_on_deadline, call);
    return 0;
}

bool bus_client_is_up(const struct bus_client *client)
{
    return client->state == CLIENT_UP;
}

bool bus_client_has_room(const struct bus_client *client)
{
    return client->calls_count < LIMIT_BUS_CALLS_MAX;
}

/* ---- greeting ---- */

static void client_greet(void *context)
{
    struct bus_client *client = context;
    client->state = CLIENT_GREETING;
    client->hello_correlation = ++client->correlation_last;
    (void)client_send(client, FRAME_TYPE_HELLO, client->hello_correlation, 0, &client->hello);
    loop_timer_set(client->options.loop, &client->hello_timer,
                   loop_now_ms(client->options.loop) + GREETING_RETRY_MS, client_greet, client);
}

static void client_go_down(struct bus_client *client)
{
    bool was_up = client->state == CLIENT_UP;
    client->state = CLIENT_DOWN;
    loop_timer_cancel(client->options.loop, &client->hello_timer);
    for (unsigned i = 0; i < LIMIT_BUS_CALLS_MAX; i++)
        if (client->calls[i].correlation)
            call_end(&client->calls[i], BUS_PEER_GONE, 0, NULL);
    if (was_up)
        client->options.on_down(client->options.context);
}

static void client_on_welcome(struct bus_client *client, const struct frame *frame)
{
    struct wire_reader body = wire_reader_of(frame->body, frame->body_bytes);
    uint64_t epoch = 0;
    if (client->state != CLIENT_GREETING || frame->correlation != client->hello_correlation)
        return;
    if (client->options.on_welcome(client->options.context, &body, &epoch))
        return; /* greeted again in a second: the peer may be replaced by one that fits */
    loop_timer_cancel(client->options.loop, &client->hello_timer);
    client->epoch = epoch;
    client->state = CLIENT_UP;
    client->options.on_up(client->options.context);
}

/* ---- frames ---- */

/* The callee lives but does not know this caller (any more): it has greeted too many others since.
 */
static bool client_is_forgotten(const struct frame *frame)
{
    struct wire_reader body = wire_reader_of(frame->body, frame->body_bytes);
    return frame->type == FRAME_TYPE_REFUSED && wire_get_u16(&body) == BUS_STATUS_NOT_GREETED;
}

static void client_on_frame(struct bus_client *client, const struct frame *frame)
{
    if (frame->type == FRAME_TYPE_WELCOME) {
        client_on_welcome(client, frame);
        return;
    }
    if (client_is_forgotten(frame)) {
        client_go_down(client);
        client_greet(client);
        return;
    }
    struct call *call = frame->correlation ? call_find(client, frame->correlation) : NULL;
    if (!call)
        return; /* its call has ended: timed out, or belonged to a connection that is gone */
    struct wire_reader body = wire_reader_of(frame->body, frame->body_bytes);
    call_end(call, BUS_REPLIED, frame->type, &body);
}

static void client_on_receivable(void *context, uint32_t epoll_events)
{
    struct bus_client *client = context;
    (void)epoll_events;
    for (unsigned i = 0; i < LIMIT_BUS_DRAIN_FRAMES; i++) {
        nng_msg *message = bus_nng_receive(client->socket);
        if (!message)
            return;
        struct frame frame;
        if (!frame_decode(nng_msg_body(message), nng_msg_len(message), &frame))
            client_on_frame(client, &frame);
        nng_msg_free(message);
    }
}

/* ---- pipes ---- */

static void client_on_pipe_event(nng_pipe pipe, nng_pipe_ev event, void *context)
{
    struct bus_client *client = context;
    unsigned id = (unsigned)nng_pipe_id(pipe);
    if (event == NNG_PIPE_EV_ADD_POST) {
        atomic_store(&client->pipe_live, id);
    } else {
        unsigned expected = id;
        atomic_compare_exchange_strong(&client->pipe_live, &expected, 0);
    }
    uint64_t one = 1;
    (void)!write(client->pipe_event_fd, &one, sizeof(one));
}

static void client_on_pipe_change(void *context, uint32_t epoll_events)
{
    struct bus_client *client = context;
    uint64_t count;
    (void)!read(client->pipe_event_fd, &count, sizeof(count));
    unsigned live = atomic_load(&client->pipe_live);
    if (live == client->pipe_greeted)
        return;
    client_on_receivable(client, epoll_events); /* replies that came before the end count */
    if (client->pipe_greeted)
        client_go_down(client);
    client->pipe_greeted = live;
    if (live)
        client_greet(client);
}

/* ---- life ---- */

static int client_watch(struct bus_client *client)
{
    int receive_fd;
    int code = nng_socket_get_int(client->socket, NNG_OPT_RECVFD, &receive_fd);
    if (code)
        return bus_nng_errno(code);
    code = loop_watch(client->options.loop, receive_fd, EPOLLIN, client_on_receivable, client,
                      &client->receive_source);
    if (code)
        return code;
    client->pipe_event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (client->pipe_event_fd < 0)
        return -errno;
    return loop_watch(client->options.loop, client->pipe_event_fd, EPOLLIN, client_on_pipe_change,
                      client, &client->pipe_source);
}

static int client_dial(struct bus_client *client, struct error *error)
{
    (void)nng_socket_set_ms(client->socket, NNG_OPT_RECONNMINT, LIMIT_RECONNECT_MS_MIN);
    (void)nng_socket_set_ms(client->socket, NNG_OPT_RECONNMAXT, LIMIT_RECONNECT_MS_MAX);
    int code = nng_pipe_notify(client->socket, NNG_PIPE_EV_ADD_POST, client_on_pipe_event, client);
    if (!code)
        code = nng_pipe_notify(client->socket, NNG_PIPE_EV_REM_POST, client_on_pipe_event, client);
    if (!code)
        code = nng_dial(client->socket, client->options.url, NULL, NNG_FLAG_NONBLOCK);
    if (code)
        return error_set(error, bus_nng_errno(code), "cannot dial %s: %s", client->options.url,
                         nng_strerror(code));
    return 0;
}

int bus_client_new(struct bus_client **ret_client, const struct bus_client_options *options,
                   struct error *error)
{
    struct bus_client *client = memory_new_zeroed(1, sizeof(*client));
    client->options = *options;
    client->pipe_event_fd = -1;
    buffer_append(&client->hello, options->hello, options->hello_bytes);
    client->options.hello = NULL;
    for (unsigned i = 0; i < LIMIT_BUS_CALLS_MAX; i++)
        client->calls[i].client = client;
    int code = nng_req0_open_raw(&client->socket);
    if (code) {
        code = error_set(error, bus_nng_errno(code), "cannot open a bus socket: %s",
                         nng_strerror(code));
        buffer_free(&client->hello);
        free(client);
        return code;
    }
    code = bus_nng_configure(client->socket, error);
    if (!code && (code = client_watch(client)))
        code = error_set_errno(error, code, "cannot watch the bus to %s", options->url);
    if (!code)
        code = client_dial(client, error);
    if (code) {
        bus_client_free(client);
        return code;
    }
    *ret_client = client;
    return 0;
}

void bus_client_free(struct bus_client *client)
{
    if (!client)
        return;
    struct loop *loop = client->options.loop;
    loop_unwatch(loop, client->receive_source);
    loop_unwatch(loop, client->pipe_source);
    (void)nng_close(client->socket); /* no pipe callback runs after this */
    loop_timer_cancel(loop, &client->hello_timer);
    for (unsigned i = 0; i < LIMIT_BUS_CALLS_MAX; i++)
        loop_timer_cancel(loop, &client->calls[i].timer);
    if (client->pipe_event_fd >= 0)
        (void)close(client->pipe_event_fd);
    buffer_free(&client->hello);
    free(client);
}
