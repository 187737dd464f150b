#include "bus_stream.h"

#include "buffer.h"
#include "bus_descriptor.h"
#include "limits.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* A turn's worth of records; larger frames get what they need. */
#define RECEIVE_BYTES (64u << 10)
/* Small enough for a socket's buffer that is nearly empty. */
#define QUICK_BYTES_MAX (64u << 10)
#define LOOK_MS 1u
#define KEEP_BYTES_MAX (2u * LIMIT_BATCH_BYTES_SOFT) /* memory an idle stream may hold on to */

int bus_errno(int nng_code)
{
    static const struct {
        int nng_code, code;
    } table[] = {
        {0, 0},
        {NNG_ENOMEM, -ENOMEM},
        {NNG_EAGAIN, -EAGAIN},
        {NNG_EADDRINUSE, -EADDRINUSE},
        {NNG_EADDRINVAL, -EADDRNOTAVAIL},
        {NNG_EPERM, -EPERM},
        {NNG_ENOFILES, -EMFILE},
        {NNG_ENOSPC, -ENOSPC},
        {NNG_ECLOSED, -EBADF},
        {NNG_ENOTSUP, -ENOTSUP},
        {NNG_ENOENT, -ENOENT},
        {NNG_ECONNREFUSED, -ECONNREFUSED},
        {NNG_ECONNRESET, -ECONNRESET},
        {NNG_ECONNABORTED, -ECONNABORTED},
        {NNG_EUNREACHABLE, -EHOSTUNREACH},
        {NNG_ETIMEDOUT, -ETIMEDOUT},
    };
    for (unsigned i = 0; i < sizeof(table) / sizeof(*table); i++)
        if (table[i].nng_code == nng_code)
            return table[i].code;
    return nng_code & NNG_ESYSERR ? -(nng_code & ~NNG_ESYSERR) : -EIO;
}

/* ---- bell ---- */

static void bell_on_readable(void *context, uint32_t epoll_events)
{
    struct bus_bell *bell = context;
    uint64_t rings;
    (void)epoll_events;
    (void)!read(bell->event_fd, &rings, sizeof(rings));
    bell->on_ring(bell->context);
}

int bus_bell_init(struct bus_bell *bell, struct loop *loop, loop_fn *on_ring, void *context)
{
    *bell = (struct bus_bell){.loop = loop, .on_ring = on_ring, .context = context};
    bell->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (bell->event_fd < 0)
        return -errno;
    int code = loop_watch(loop, bell->event_fd, EPOLLIN, bell_on_readable, bell, &bell->source);
    if (code)
        bus_bell_end(bell);
    return code;
}

void bus_bell_end(struct bus_bell *bell)
{
    loop_unwatch(bell->loop, bell->source);
    (void)close(bell->event_fd);
}

void bus_bell_ring(struct bus_bell *bell)
{
    uint64_t one = 1;
    (void)!write(bell->event_fd, &one, sizeof(one));
}

/* ---- transfer ---- */

/*   IDLE --begin--> BUSY --nng's callback--> DONE --take--> IDLE */
enum transfer_state { IDLE, BUSY, DONE };

static void transfer_on_done(void *context)
{
    struct bus_transfer *transfer = context;
    atomic_store(&transfer->state, DONE);
    bus_bell_ring(transfer->bell);
}

int bus_transfer_init(struct bus_transfer *transfer, struct bus_bell *bell)
{
    transfer->bell = bell;
    atomic_init(&transfer->state, IDLE);
    return bus_errno(nng_aio_alloc(&transfer->aio, transfer_on_done, transfer));
}

void bus_transfer_end(struct bus_transfer *transfer, bool makes_connection)
{
    if (!transfer->aio)
        return;
    nng_aio_stop(transfer->aio);
    if (makes_connection && atomic_load(&transfer->state) == DONE &&
        nng_aio_result(transfer->aio) == 0) {
        nng_stream_close(nng_aio_get_output(transfer->aio, 0)); /* at once */
        nng_stream_free(nng_aio_get_output(transfer->aio, 0));
    }
    nng_aio_free(transfer->aio);
    transfer->aio = NULL;
}

void bus_transfer_begin(struct bus_transfer *transfer)
{
    assert(atomic_load(&transfer->state) == IDLE);
    atomic_store(&transfer->state, BUSY);
}

bool bus_transfer_take(struct bus_transfer *transfer, int *ret_code)
{
    if (atomic_load(&transfer->state) != DONE)
        return false;
    *ret_code = nng_aio_result(transfer->aio);
    atomic_store(&transfer->state, IDLE);
    return true;
}

bool bus_transfer_is_idle(const struct bus_transfer *transfer)
{
    return atomic_load(&transfer->state) == IDLE;
}

/* ---- stream ---- */

struct bus_stream {
    struct bus_stream_options options;
    int socket_fd;               /* a duplicate for waiting, or -1: not there, or not looked for */
    struct loop_source *socket;  /* NULL: receives go nng's way */
    nng_aio *take;               /* takes what is there, without a callback */
    struct bus_transfer receive; /* nng's way */
    struct bus_transfer send;
    nng_aio *quick;               /* the same as `send` for small writes, without a callback */
    bool is_quick;                /* it is under way, as far as is known */
    struct loop_timer look_timer; /* for its end */
    struct buffer in;             /* received and not yet handed on; nng writes behind its length */
    struct buffer sending;        /* nng's while a write is under way */
    size_t sent;                  /* of `sending` */
    uint64_t written_bytes;       /* all in all */
    struct buffer queued;
    struct loop_task flush;
    size_t body_bytes_max;
    uint64_t heard_ms; /* when bytes came last */
    bool is_over;      /* to be ended, though the peer may live */
    int damage;        /* because it sent what is no frame: a frame_outcome */
    bool is_paused;    /* does not listen: the peer has to read first */
    bool is_mute;      /* a write failed: the peer is gone */
    bool is_last_look; /* a receive failed; what the peer sent before may still be there */
    bool has_received; /* something */
};

/* An operation without a callback: its count or result are set a moment before nng is through with
 * it. */
static bool aio_has_ended(nng_aio *aio, int *ret_code)
{
    if (!nng_aio_count(aio) && !nng_aio_result(aio))
        return false;
    nng_aio_wait(aio);
    *ret_code = nng_aio_result(aio);
    return true;
}

static void stream_fill(struct bus_stream *stream, nng_aio *aio)
{
    nng_iov iov = {.iov_buf = stream->in.bytes + stream->in.length,
                   .iov_len = stream->in.capacity - stream->in.length};
    assert(iov.iov_len > 0);
    int code = nng_aio_set_iov(aio, 1, &iov);
    assert(code == 0);
    nng_stream_recv(stream->options.connection, aio);
}

/* Listens for what comes next. `want`: bytes that must fit; more may come. */
static void stream_receive(struct bus_stream *stream, size_t want)
{
    size_t room = want > RECEIVE_BYTES ? want : RECEIVE_BYTES;
    if (stream->in.length < room)
        (void)buffer_reserve(&stream->in, room - stream->in.length);
    if (stream->socket)
        return;
    bus_transfer_begin(&stream->receive);
    stream_fill(stream, stream->receive.aio);
}

static bool stream_is_clogged(const struct bus_stream *stream)
{
    return stream->options.is_callee && stream->queued.length > LIMIT_BUS_ANSWERS_BYTES_MAX;
}

/* Hands on the whole frames; returns the bytes the next one needs to be whole. */
static size_t stream_parse(struct bus_stream *stream)
{
    size_t at = 0, want = 0;
    while (!stream->is_over && !stream_is_clogged(stream)) {
        const uint8_t *bytes = stream->in.bytes + at;
        size_t length = stream->in.length - at;
        struct frame frame;
        int code = frame_measure(bytes, length, stream->body_bytes_max, &want);
        if (code == FRAME_SHORT || (!code && want > length))
            break;
        if (!code)
            code = frame_decode(bytes, want, &frame);
        if (code) {
            stream->is_over = true;
            stream->damage = code;
            break;
        }
        stream->options.on_frame(stream->options.context, &frame);
        at += want;
    }
    stream->in.length -= at;
    if (at)
        memmove(stream->in.bytes, stream->in.bytes + at, stream->in.length);
    return want;
}

static void stream_pause(struct bus_stream *stream, bool is_paused)
{
    if (stream->socket && stream->is_paused != is_paused)
        (void)loop_watch_change(stream->options.loop, stream->socket, is_paused ? 0 : EPOLLIN);
    stream->is_paused = is_paused;
}

static void stream_go_on(struct bus_stream *stream)
{
    size_t want = stream_parse(stream);
    stream_pause(stream, stream_is_clogged(stream));
    if (!stream->in.length)
        buffer_clear(&stream->in, KEEP_BYTES_MAX);
    if (!stream->is_over && !stream->is_paused)
        stream_receive(stream, want);
}

static size_t stream_unsent_bytes(const struct bus_stream *stream)
{
    return stream->queued.length + (stream->sending.length - stream->sent);
}

/* nng may write less than asked: the rest goes first. */
static void stream_write(struct bus_stream *stream)
{
    if (stream->sent == stream->sending.length) {
        struct buffer written = stream->sending;
        stream->sending = stream->queued;
        stream->queued = written;
        buffer_clear(&stream->queued, KEEP_BYTES_MAX);
        stream->sent = 0;
    }
    size_t bytes = stream->sending.length - stream->sent;
    stream->is_quick = bytes <= QUICK_BYTES_MAX;
    nng_aio *aio = stream->is_quick ? stream->quick : stream->send.aio;
    nng_iov iov = {.iov_buf = stream->sending.bytes + stream->sent, .iov_len = bytes};
    int code = nng_aio_set_iov(aio, 1, &iov);
    assert(code == 0);
    if (!stream->is_quick)
        bus_transfer_begin(&stream->send);
    nng_stream_send(stream->options.connection, aio);
}

/* Writing to a peer that is gone fails before its last frames were read: the receive tells the end.
 */
static bool is_peer_gone(int nng_code)
{
    return nng_code == NNG_ECLOSED || nng_code == NNG_ECONNSHUT || nng_code == NNG_ECONNRESET;
}

static void stream_take_sent(struct bus_stream *stream)
{
    int code;
    nng_aio *aio = stream->is_quick ? stream->quick : stream->send.aio;
    if (!(stream->is_quick ? aio_has_ended(aio, &code) : bus_transfer_take(&stream->send, &code)))
        return;
    stream->is_quick = false;
    stream->sent += nng_aio_count(aio);
    stream->written_bytes += nng_aio_count(aio);
    if (!code)
        return;
    stream->is_mute = true;
    stream->queued.length = 0;
    stream->is_over = stream->is_over || !is_peer_gone(code);
}

static bool stream_is_writing(const struct bus_stream *stream)
{
    return stream->is_quick || !bus_transfer_is_idle(&stream->send);
}

static void stream_flush(void *context)
{
    struct bus_stream *stream = context;
    struct loop *loop = stream->options.loop;
    stream_take_sent(stream);
    while (!stream->is_over && !stream->is_mute && !stream_is_writing(stream) &&
           stream_unsent_bytes(stream)) {
        stream_write(stream);
        stream_take_sent(stream);
    }
    if (stream->is_quick)
        loop_timer_set(loop, &stream->look_timer, loop_now_ms(loop) + LOOK_MS, stream_flush,
                       stream);
    if (stream->is_over || (stream->is_paused && !stream_is_clogged(stream)))
        bus_bell_ring(stream->options.bell);
}

static void stream_on_socket(void *context, uint32_t epoll_events);

/* From the first bytes on. Those come nng's way: it watches each socket for its peer's hanging up,
 * without end and in vain, until it has once waited for something. Without a socket to watch, all
 * come nng's way. */
static void stream_watch_socket(struct bus_stream *stream)
{
    stream->has_received = true;
    stream->socket_fd = bus_descriptor_dup(stream->options.connection, stream->options.is_callee);
    if (stream->socket_fd >= 0)
        (void)loop_watch(stream->options.loop, stream->socket_fd, EPOLLIN, stream_on_socket, stream,
                         &stream->socket);
}

/* A receive has ended. A peer that dies with unread frames resets the connection: nng fails the
 * receive although answers may wait in the socket. The next receive gives those, or fails at once.
 * False: that was all. */
static bool stream_take_in(struct bus_stream *stream, nng_aio *aio, int code)
{
    stream->in.length += nng_aio_count(aio);
    stream->heard_ms = loop_now_ms(stream->options.loop);
    if (!code && !stream->has_received)
        stream_watch_socket(stream);
    if (!code)
        stream_go_on(stream);
    else if (!stream->is_last_look)
        stream_receive(stream, FRAME_HEADER_BYTES);
    else
        return false;
    stream->is_last_look = code != 0;
    return true;
}

/* Frees the stream if it is over. */
static void stream_check_end(struct bus_stream *stream, bool is_open)
{
    if (!is_open || stream->is_over)
        stream->options.on_end(stream->options.context, stream->damage);
}

/* The receive ends while it is called, since something is there. One that does not would wait for
 * nng's threads, and nobody for it. */
static bool stream_take_what_is_there(struct bus_stream *stream)
{
    int code;
    stream_fill(stream, stream->take);
    if (aio_has_ended(stream->take, &code))
        return stream_take_in(stream, stream->take, code);
    stream->is_over = true;
    return true;
}

/* A peer that hangs up while it should read will not: its answers are dropped, and what it had sent
 * is still taken. */
static void stream_on_socket(void *context, uint32_t epoll_events)
{
    struct bus_stream *stream = context;
    bool is_open = true;
    if (!stream->is_paused && !stream->is_over) {
        is_open = stream_take_what_is_there(stream);
    } else if (epoll_events & (EPOLLHUP | EPOLLERR)) {
        stream->is_mute = true;
        stream->queued.length = 0;
        stream_go_on(stream);
    }
    stream_check_end(stream, is_open);
}

void bus_stream_on_ring(struct bus_stream *stream)
{
    bool is_open = true;
    int code;
    if (bus_transfer_take(&stream->receive, &code))
        is_open = stream_take_in(stream, stream->receive.aio, code);
    if (stream->is_paused && !stream_is_clogged(stream))
        stream_go_on(stream);
    stream_take_sent(stream);
    if (stream_unsent_bytes(stream))
        loop_before_wait(stream->options.loop, &stream->flush, stream_flush, stream);
    stream_check_end(stream, is_open);
}

void bus_stream_send(struct bus_stream *stream, const struct frame *frame)
{
    if (stream->is_over || stream->is_mute)
        return;
    frame_encode_header(frame, buffer_reserve(&stream->queued, FRAME_HEADER_BYTES));
    stream->queued.length += FRAME_HEADER_BYTES;
    buffer_append(&stream->queued, frame->body, frame->body_bytes);
    loop_before_wait(stream->options.loop, &stream->flush, stream_flush, stream);
}

void bus_stream_flush(struct bus_stream *stream)
{
    loop_task_cancel(stream->options.loop, &stream->flush);
    stream_flush(stream);
}

size_t bus_stream_unsent_bytes(struct bus_stream *stream)
{
    stream_take_sent(stream); /* a small write ends without a ring */
    return stream_unsent_bytes(stream);
}

uint64_t bus_stream_written_bytes(struct bus_stream *stream)
{
    stream_take_sent(stream);
    return stream->written_bytes;
}

uint64_t bus_stream_heard_ms(const struct bus_stream *stream)
{
    return stream->is_paused ? 0 : stream->heard_ms;
}

void bus_stream_give_up(struct bus_stream *stream)
{
    stream->is_over = true;
    bus_bell_ring(stream->options.bell);
}

void bus_stream_trust(struct bus_stream *stream)
{
    stream->body_bytes_max = LIMIT_FRAME_BODY_BYTES_MAX;
}

struct bus_stream *bus_stream_new(const struct bus_stream_options *options)
{
    struct bus_stream *stream = memory_new_zeroed(1, sizeof(*stream));
    stream->options = *options;
    stream->socket_fd = -1;
    stream->body_bytes_max = LIMIT_GREETING_BYTES_MAX;
    stream->heard_ms = loop_now_ms(options->loop);
    if (bus_transfer_init(&stream->receive, options->bell) ||
        bus_transfer_init(&stream->send, options->bell) ||
        nng_aio_alloc(&stream->quick, NULL, NULL) || nng_aio_alloc(&stream->take, NULL, NULL)) {
        bus_stream_free(stream);
        return NULL;
    }
    stream_receive(stream, FRAME_HEADER_BYTES);
    return stream;
}

static void aio_end(nng_aio *aio)
{
    if (aio)
        nng_aio_stop(aio);
    nng_aio_free(aio);
}

void bus_stream_free(struct bus_stream *stream)
{
    if (!stream)
        return;
    loop_task_cancel(stream->options.loop, &stream->flush);
    loop_timer_cancel(stream->options.loop, &stream->look_timer);
    loop_unwatch(stream->options.loop, stream->socket);
    if (stream->socket_fd >= 0)
        (void)close(stream->socket_fd);
    nng_stream_close(stream->options.connection);
    bus_transfer_end(&stream->receive, false);
    bus_transfer_end(&stream->send, false);
    aio_end(stream->take);
    aio_end(stream->quick);
    nng_stream_free(stream->options.connection);
    buffer_free(&stream->in);
    buffer_free(&stream->sending);
    buffer_free(&stream->queued);
    free(stream);
}
