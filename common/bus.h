/* The bus: edges between processes over nng byte streams (ipc://, and tcp:// between nodes), and
 * the only wrapper around nng. A callee listens (struct bus_server), a caller dials (struct
 * bus_client), both carry frames (common/frame.h). Everything runs on the loop thread; nng's
 * threads only move bytes and ring.
 *
 *  - A call has a deadline and ends with exactly one outcome. Nothing is ever sent again by itself.
 *  - A peer that restarts is seen: the connection is the process's. After each connect the caller
 *    says HELLO, the callee answers WELCOME with its boot epoch, every later frame names that
 *    epoch, and a lost connection ends all calls in flight with BUS_PEER_GONE, after all answers
 *    that came before.
 *  - Calls in flight, queued and received bytes are bounded (common/limits.h).
 *
 * Why streams and not nng's REQ/REP sockets: in nng 1.5.2 a peer that vanishes during the handshake
 * of those (EPIPE, which nng takes for its own end) leaves the listener or dialer deaf for good.
 * And a stream ends when its peer does, in order, which is what the outcomes above need.
 *
 * Not to be used before a fork (nng panics in a forked child). */
#pragma once

#include "buffer.h"
#include "error.h"
#include "loop.h"
#include "wire.h"

#include <stdbool.h>
#include <stdint.h>

/* Statuses the bus itself answers with, in REFUSED; proto/message.h has all of them and checks that
 * these agree. */
#define BUS_STATUS_BAD_REQUEST 8u
#define BUS_STATUS_NOT_GREETED 13u
#define BUS_STATUS_STALE_EPOCH 14u

#define BUS_REFUSAL_BYTES_MAX 512u /* of a refusal's text, with its NUL; cut */

/* ---- caller ---- */

enum bus_end {
    BUS_REPLIED,   /* `type` and `body` are the reply */
    BUS_TIMED_OUT, /* the deadline passed: outcome unknown */
    BUS_PEER_GONE, /* the connection went away with the call in flight: outcome unknown */
};

/* Ends a call. `body` is valid during the callback only; NULL unless BUS_REPLIED. */
typedef void bus_reply_fn(void *context, enum bus_end end, uint16_t type, struct wire_reader *body);

struct bus_client_options {
    struct loop *loop;
    /* As of the callee. A host name is looked up at each attempt, by threads of nng of which there
     * are four: names that take a DNS server long to deny slow down other attempts to connect. */
    const char *url;
    const uint8_t *hello; /* body of this caller's HELLO; copied */
    size_t hello_bytes;
    /* The callee's WELCOME: 0 to accept; anything else keeps the edge down (tried again at the next
     * connect, and a few times a second). */
    int (*on_welcome)(void *context, struct wire_reader *body, uint64_t *ret_epoch);
    /* The callee refused the greeting, and why; tried again as above. May be NULL. */
    void (*on_refused)(void *context, const char *text);
    void (*on_up)(void *context);   /* calls may be made from now on */
    void (*on_down)(void *context); /* after all calls in flight were ended */
    void *context;
};

struct bus_client;

int bus_client_new(struct bus_client **ret_client, const struct bus_client_options *options,
                   struct error *error);
/* Calls in flight end without their callbacks. NULL is fine. Not from a callback of this client. */
void bus_client_free(struct bus_client *client);
/* The same, but first as if the connection were lost: calls in flight end with BUS_PEER_GONE, and
 * on_down is called if it was up. No callback may free it. */
void bus_client_retire(struct bus_client *client);
bool bus_client_is_up(const struct bus_client *client);
/* True if bus_call would find a free place. Turn-end callbacks look here and else keep their batch.
 */
bool bus_client_has_room(const struct bus_client *client);

enum bus_call_outcome { BUS_DOWN = 1, BUS_FULL };

/* Sends a call. 0: `fn` will be called exactly once, later, from the loop. BUS_DOWN, BUS_FULL:
 * nothing was sent. */
int bus_call(struct bus_client *client, uint16_t type, const struct buffer *body,
             uint64_t deadline_ms, bus_reply_fn *fn, void *context);

/* Sends a frame to which no reply will come. 0 or BUS_DOWN. */
int bus_cast(struct bus_client *client, uint16_t type, const struct buffer *body);
/* Calls and casts leave now, not at the end of the turn: for a caller whose turn is long. */
void bus_client_flush(struct bus_client *client);
/* Bytes queued and not yet given to the kernel. */
size_t bus_client_unsent_bytes(const struct bus_client *client);
/* Bytes given to the kernel over this connection; 0 if there is none. */
uint64_t bus_client_written_bytes(const struct bus_client *client);
/* Drops the connection, if there is one, and dials anew, from the next turn on: for a caller that
 * knows it is dead although TCP does not. May be called anywhere; on_down follows. */
void bus_client_reset(struct bus_client *client);
/* Why the last attempt to connect failed, a negative errno (-EADDRNOTAVAIL, -EAGAIN: also a host
 * name that was not found); 0: it did not. */
int bus_client_dial_code(const struct bus_client *client);

/* ---- callee ---- */

/* Where a reply goes; a plain value, kept by whoever owes the reply. */
struct bus_route {
    uint64_t link; /* the caller's connection */
    uint64_t correlation;
};

struct bus_request {
    struct bus_route route;
    uint16_t type;
    uint32_t peer; /* what on_hello said of this caller */
    struct wire_reader body;
};

struct bus_server_options {
    struct loop *loop;
    const char *url;
    uint64_t epoch; /* this process's boot epoch */
    /* A HELLO: 0 to accept, with a number for the peer and the WELCOME's body appended to
     * `welcome`; else its text is sent in REFUSED. A caller may say HELLO again. */
    int (*on_hello)(void *context, struct wire_reader *body, uint32_t *ret_peer,
                    struct buffer *welcome, struct error *error);
    /* A call from a greeted peer. The reply may come later, or never (the caller's deadline ends
     * it). */
    void (*on_request)(void *context, struct bus_request *request);
    /* A greeted connection is over, or its caller says HELLO again: the counterpart of each HELLO
     * that was accepted, except when the server is freed. May be NULL. */
    void (*on_parted)(void *context, uint32_t peer);
    /* A greeting was refused, or bytes came that are no frame of this version. May be NULL. */
    void (*on_refused)(void *context, const char *text);
    /* A connection on which nothing came for so long is closed: its caller is gone without a trace,
     * and would hold the place for good. 0: never (a process of this machine leaves traces). */
    uint64_t silence_ms_max;
    void *context;
};

struct bus_server_counters {
    uint64_t requests;
    uint64_t refused; /* frames: damaged, of another version or epoch, or before HELLO */
};

struct bus_server;

/* ipc://path; a stale socket is replaced. tcp://host:port, an IPv6 host in brackets; a host name is
 * looked up here and now, its first address counts. Errors: negative errno with a line, for example
 * if the socket's folder cannot be written, or the address is in use. */
int bus_server_new(struct bus_server **ret_server, const struct bus_server_options *options,
                   struct error *error);
void bus_server_free(struct bus_server *server);
/* Best effort: a caller that is gone loses its reply. */
void bus_reply(struct bus_server *server, const struct bus_route *route, uint16_t type,
               const struct buffer *body);
/* Answers with FRAME_TYPE_REFUSED: status (u16, a PROTO_STATUS) and one line. */
void bus_refuse(struct bus_server *server, const struct bus_route *route, uint16_t status,
                const char *text);
/* Closes the connections on_hello gave this number, in a later turn: no request comes from them any
 * more. May be called anywhere. */
void bus_server_drop(struct bus_server *server, uint32_t peer);
/* When the last bytes came over a connection on_hello gave this number; 0: there is none, or none
 * that is read now. */
uint64_t bus_server_heard_ms(const struct bus_server *server, uint32_t peer);
struct bus_server_counters bus_server_counters(const struct bus_server *server);
