/* One connection of the bus: an nng byte stream (nng_stream) with whole frames in and out. Private
 * to bus_*.c.
 *
 * nng works on threads of its own and reports there: the callback only notes the end of a transfer
 * and rings a bell, an eventfd that the loop watches. All else runs on the loop thread. Frames to
 * send are collected during a turn and leave in one write before the loop waits; those that come
 * while a write is under way leave in the next.
 *
 * The common case wakes none of those threads. The loop watches the connection's socket itself
 * (bus_descriptor.h) and asks nng for what is there; only before the first bytes, and where it
 * cannot, one receive of nng's is always under way. A small write goes into the socket's buffer
 * while nng is called, nearly always: it has no callback, and where it has not ended at once it is
 * looked at again a little later. */
#pragma once

#include "bus.h"
#include "error.h"
#include "frame.h"
#include "loop.h"

#include <nng/nng.h>
#include <stdatomic.h>

/* nng's error numbers as negative errno. */
int bus_errno(int nng_code);

/* ---- bell: how nng's threads call the loop ---- */

struct bus_bell {
    int event_fd;
    struct loop *loop;
    struct loop_source *source;
    loop_fn *on_ring;
    void *context;
};

int bus_bell_init(struct bus_bell *bell, struct loop *loop, loop_fn *on_ring, void *context);
void bus_bell_end(struct bus_bell *bell);
/* On any thread. */
void bus_bell_ring(struct bus_bell *bell);

/* ---- transfer: one operation of nng at a time ---- */

struct bus_transfer {
    nng_aio *aio;
    struct bus_bell *bell;
    atomic_int state;
};

int bus_transfer_init(struct bus_transfer *transfer, struct bus_bell *bell);
/* Cancels what is under way, waits for its callback, and frees. A connection that was accepted or
 * dialled and not taken is closed if `makes_connection`. */
void bus_transfer_end(struct bus_transfer *transfer, bool makes_connection);
/* Call before the aio is handed to nng. */
void bus_transfer_begin(struct bus_transfer *transfer);
/* True once for each finished transfer, which is idle again; *ret_code is nng's. */
bool bus_transfer_take(struct bus_transfer *transfer, int *ret_code);
bool bus_transfer_is_idle(const struct bus_transfer *transfer);

/* ---- stream ---- */

struct bus_stream;

struct bus_stream_options {
    struct loop *loop;
    struct bus_bell *bell;
    nng_stream *connection; /* owned by the stream from now on */
    /* Takes no further frames while more than LIMIT_BUS_ANSWERS_BYTES_MAX of its own wait to be
     * read. (Only one end may: two would wait for each other.) */
    bool is_callee;
    /* A frame came; it may not free the stream. */
    void (*on_frame)(void *context, const struct frame *frame);
    /* Once, from the loop: the peer is gone, or sent what is no frame (`damage`, a
     * frame_outcome; else 0), or was given up. After all whole frames that came before. Frees the
     * stream. */
    void (*on_end)(void *context, int damage);
    void *context;
};

/* NULL: no memory for nng. The connection is closed then. */
struct bus_stream *bus_stream_new(const struct bus_stream_options *options);
/* What was not written is lost. */
void bus_stream_free(struct bus_stream *stream);
/* Until then only frames of LIMIT_GREETING_BYTES_MAX are let in: a stranger cannot claim memory. */
void bus_stream_trust(struct bus_stream *stream);
/* Bytes of frames not yet given to the kernel. */
size_t bus_stream_unsent_bytes(struct bus_stream *stream);
/* Bytes given to the kernel. */
uint64_t bus_stream_written_bytes(struct bus_stream *stream);
/* When bytes came last (loop_now_ms); 0 while it does not listen, because the peer has to read. */
uint64_t bus_stream_heard_ms(const struct bus_stream *stream);
/* Ends it, in a later turn: nothing is sent or handed on any more. May be called from on_frame. */
void bus_stream_give_up(struct bus_stream *stream);
/* Queues a frame (copied). */
void bus_stream_send(struct bus_stream *stream, const struct frame *frame);
/* What is queued leaves now, not at the end of the turn. */
void bus_stream_flush(struct bus_stream *stream);
/* The bell rang: takes what nng finished. */
void bus_stream_on_ring(struct bus_stream *stream);
