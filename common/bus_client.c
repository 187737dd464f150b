/* The calling end of an edge.
 *
 *            connected                 WELCOME accepted
 *   DOWN  ---------------> GREETING ----------------------> UP
 *     ^                       |  ^ again and again         |
 *     +-----------------------+--+----------------------------+
 *            connection over: calls in flight end with BUS_PEER_GONE
 *
 * Down, it dials again and again, after a pause that doubles until a callee said WELCOME. Over TCP
 * a HELLO without any answer is not said again on the same connection: a network that came back
 * lets a new one through at once, and an old one only when TCP's own patience has run out.
 *
 * Each attempt has a dialer of its own, which is freed before the next. nng 1.5.2 has one aio in it
 * for the name and one for the connection, and would begin them anew while those of an attempt that
 * was cancelled have yet to call back. For the same reason the attempt's end is a timer of the
 * loop: nng's own expiry may still look at the dialer when the attempt has ended otherwise. */
#include "bus.h"
#include "bus_stream.h"

#include "buffer.h"
#include "limits.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <nng/nng.h>

#define GREETING_RETRY_MS 250u
#define GREETING_TCP_MS_MAX 1000u /* without an answer */

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
    struct bus_bell bell;
    char *url;
    bool is_tcp;
    nng_stream_dialer *dialer; /* NULL: no attempt is under way */
    struct bus_transfer dial;
    struct loop_timer dial_timer; /* the end of the attempt, or of the pause */
    uint64_t dial_pause_ms;
    int dial_code;
    struct bus_stream *stream; /* NULL: CLIENT_DOWN */
    enum client_state state;
    uint64_t epoch;
    uint64_t correlation_last;
    uint64_t hello_correlation;
    bool is_hello_answered; /* but not so that the edge came up */
    struct loop_timer hello_timer;
    struct buffer hello;
    struct call calls[LIMIT_BUS_CALLS_MAX];
    unsigned calls_count;
};

static void client_send(struct bus_client *client, uint16_t type, uint64_t correlation,
                        const struct buffer *body)
{
    struct frame frame = {
        .type = type,
        .correlation = correlation,
        .epoch = type == FRAME_TYPE_HELLO ? 0 : client->epoch,
        .body = body ? body->bytes : NULL,
        .body_bytes = body ? (uint32_t)body->length : 0,
    };
    bus_stream_send(client->stream, &frame);
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
    call->correlation = ++client->correlation_last;
    client_send(client, type, call->correlation, body);
    call->fn = fn;
    call->context = context;
    client->calls_count++;
    loop_timer_set(client->options.loop, &call->timer, deadline_ms, call_on_deadline, call);
    return 0;
}

int bus_cast(struct bus_client *client, uint16_t type, const struct buffer *body)
{
    if (client->state != CLIENT_UP)
        return BUS_DOWN;
    client_send(client, type, 0, body); /* no call has correlation 0: a refusal finds nobody */
    return 0;
}

void bus_client_flush(struct bus_client *client)
{
    if (client->stream)
        bus_stream_flush(client->stream);
}

size_t bus_client_unsent_bytes(const struct bus_client *client)
{
    return client->stream ? bus_stream_unsent_bytes(client->stream) : 0;
}

uint64_t bus_client_written_bytes(const struct bus_client *client)
{
    return client->stream ? bus_stream_written_bytes(client->stream) : 0;
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

static void client_greet(void *context);

static void client_greet_later(struct bus_client *client, uint64_t pause_ms)
{
    loop_timer_set(client->options.loop, &client->hello_timer,
                   loop_now_ms(client->options.loop) + pause_ms, client_greet, client);
}

static void client_say_hello(struct bus_client *client)
{
    client->state = CLIENT_GREETING;
    client->is_hello_answered = false;
    client->hello_correlation = ++client->correlation_last;
    client_send(client, FRAME_TYPE_HELLO, client->hello_correlation, &client->hello);
    client_greet_later(client, client->is_tcp ? GREETING_TCP_MS_MAX : GREETING_RETRY_MS);
}

static void client_greet(void *context)
{
    struct bus_client *client = context;
    if (client->is_tcp && !client->is_hello_answered)
        bus_stream_give_up(client->stream);
    else
        client_say_hello(client);
}

/* By a refusal, or a WELCOME that will not do: the peer may be replaced by one that fits. */
static void client_on_hello_answered(struct bus_client *client)
{
    client->is_hello_answered = true;
    client_greet_later(client, GREETING_RETRY_MS);
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
    client_on_hello_answered(client);
    if (client->options.on_welcome(client->options.context, &body, &epoch))
        return;
    loop_timer_cancel(client->options.loop, &client->hello_timer);
    client->epoch = epoch;
    client->state = CLIENT_UP;
    client->dial_pause_ms = LIMIT_RECONNECT_MS_MIN;
    client->options.on_up(client->options.context);
}

static void client_on_refused(struct bus_client *client, const struct frame *frame)
{
    struct wire_reader body = wire_reader_of(frame->body, frame->body_bytes);
    char text[BUS_REFUSAL_BYTES_MAX];
    client_on_hello_answered(client);
    (void)wire_get_u16(&body);
    wire_get_text(&body, text, sizeof(text));
    if (wire_finished(&body) && client->options.on_refused)
        client->options.on_refused(client->options.context, text);
}

/* ---- frames ---- */

static void client_on_frame(void *context, const struct frame *frame)
{
    struct bus_client *client = context;
    if (frame->type == FRAME_TYPE_WELCOME) {
        client_on_welcome(client, frame);
        return;
    }
    if (client->state == CLIENT_GREETING && frame->type == FRAME_TYPE_REFUSED &&
        frame->correlation == client->hello_correlation) {
        client_on_refused(client, frame);
        return;
    }
    if (frame->type == FRAME_TYPE_HELLO) {
        /* Its own: TCP can connect a port of this machine with itself while nobody listens. */
        bus_stream_give_up(client->stream);
        return;
    }
    struct call *call = frame->correlation ? call_find(client, frame->correlation) : NULL;
    if (!call)
        return; /* its call has ended at its deadline */
    struct wire_reader body = wire_reader_of(frame->body, frame->body_bytes);
    call_end(call, BUS_REPLIED, frame->type, &body);
}

/* ---- connecting ---- */

static void client_dial_later(struct bus_client *client);

static void client_end_attempt(struct bus_client *client)
{
    if (client->dialer)
        nng_stream_dialer_close(client->dialer);
    bus_transfer_end(&client->dial, true);
    nng_stream_dialer_free(client->dialer);
    client->dialer = NULL;
}

/* An address that does not answer has cost its time already, and the next attempt finds a network
 * that came back. */
static void client_on_dial_timeout(void *context)
{
    struct bus_client *client = context;
    client->dial_code = -ETIMEDOUT;
    client->dial_pause_ms = LIMIT_RECONNECT_MS_MIN;
    client_end_attempt(client);
    client_dial_later(client);
}

static int client_try(struct bus_client *client)
{
    uint64_t attempt_ms = client->is_tcp ? LIMIT_DIAL_TCP_MS_MAX : LIMIT_DIAL_MS_MAX;
    int code = bus_transfer_init(&client->dial, &client->bell);
    if (!code)
        code = bus_errno(nng_stream_dialer_alloc(&client->dialer, client->url));
    if (!code && client->is_tcp)
        code = bus_errno(nng_stream_dialer_set_bool(client->dialer, NNG_OPT_TCP_NODELAY, true));
    if (code) {
        client_end_attempt(client);
        return code;
    }
    bus_transfer_begin(&client->dial);
    nng_stream_dialer_dial(client->dialer, client->dial.aio);
    loop_timer_set(client->options.loop, &client->dial_timer,
                   loop_now_ms(client->options.loop) + attempt_ms, client_on_dial_timeout, client);
    return 0;
}

static void client_dial(void *context)
{
    struct bus_client *client = context;
    int code = client_try(client);
    if (!code)
        return;
    client->dial_code = code;
    client_dial_later(client);
}

static void client_dial_later(struct bus_client *client)
{
    uint64_t pause_ms_max = client->is_tcp ? LIMIT_RECONNECT_TCP_MS_MAX : LIMIT_RECONNECT_MS_MAX;
    loop_timer_set(client->options.loop, &client->dial_timer,
                   loop_now_ms(client->options.loop) + client->dial_pause_ms, client_dial, client);
    client->dial_pause_ms *= 2;
    if (client->dial_pause_ms > pause_ms_max)
        client->dial_pause_ms = pause_ms_max;
}

static void client_on_end(void *context, int damage)
{
    struct bus_client *client = context;
    (void)damage;
    bus_stream_free(client->stream);
    client->stream = NULL;
    client_dial_later(client);
    client_go_down(client);
}

void bus_client_reset(struct bus_client *client)
{
    if (client->stream)
        bus_stream_give_up(client->stream);
}

int bus_client_dial_code(const struct bus_client *client)
{
    return client->dial_code;
}

static void client_on_connected(struct bus_client *client, nng_stream *connection)
{
    struct bus_stream_options options = {
        .loop = client->options.loop,
        .bell = &client->bell,
        .connection = connection,
        .on_frame = client_on_frame,
        .on_end = client_on_end,
        .context = client,
    };
    client->stream = bus_stream_new(&options);
    if (!client->stream) {
        client_dial_later(client);
        return;
    }
    bus_stream_trust(client->stream);
    client_say_hello(client);
}

static void client_on_dialled(struct bus_client *client)
{
    nng_stream *connection = NULL;
    if (!bus_transfer_take(&client->dial, &client->dial_code))
        return;
    client->dial_code = bus_errno(client->dial_code);
    if (!client->dial_code)
        connection = nng_aio_get_output(client->dial.aio, 0);
    loop_timer_cancel(client->options.loop, &client->dial_timer);
    client_end_attempt(client);
    if (connection)
        client_on_connected(client, connection);
    else
        client_dial_later(client);
}

static void client_on_ring(void *context)
{
    struct bus_client *client = context;
    if (client->dialer)
        client_on_dialled(client);
    if (client->stream)
        bus_stream_on_ring(client->stream);
}

/* ---- life ---- */

int bus_client_new(struct bus_client **ret_client, const struct bus_client_options *options,
                   struct error *error)
{
    struct bus_client *client = memory_new_zeroed(1, sizeof(*client));
    client->options = *options;
    client->dial_pause_ms = LIMIT_RECONNECT_MS_MIN;
    client->url = memory_copy_string(options->url);
    client->is_tcp = !strncmp(options->url, "tcp", 3);
    buffer_append(&client->hello, options->hello, options->hello_bytes);
    client->options.hello = NULL;
    client->options.url = NULL;
    for (unsigned i = 0; i < LIMIT_BUS_CALLS_MAX; i++)
        client->calls[i].client = client;
    int code = bus_bell_init(&client->bell, options->loop, client_on_ring, client);
    if (code) {
        buffer_free(&client->hello);
        free(client->url);
        free(client);
        return error_set_errno(error, code, "cannot watch the bus to %s", options->url);
    }
    code = client_try(client);
    if (code) {
        bus_client_free(client);
        return error_set_errno(error, code, "cannot dial %s", options->url);
    }
    *ret_client = client;
    return 0;
}

void bus_client_free(struct bus_client *client)
{
    if (!client)
        return;
    struct loop *loop = client->options.loop;
    client_end_attempt(client);
    bus_stream_free(client->stream);
    bus_bell_end(&client->bell);
    loop_timer_cancel(loop, &client->dial_timer);
    loop_timer_cancel(loop, &client->hello_timer);
    for (unsigned i = 0; i < LIMIT_BUS_CALLS_MAX; i++)
        loop_timer_cancel(loop, &client->calls[i].timer);
    buffer_free(&client->hello);
    free(client->url);
    free(client);
}

void bus_client_retire(struct bus_client *client)
{
    if (client)
        client_go_down(client);
    bus_client_free(client);
}
