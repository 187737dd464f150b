/* The socket under an nng byte stream. Private to bus_*.c.
 *
 * nng 1.5.2 has no option that names it, and receiving through nng alone costs three wake-ups: its
 * poll thread takes the bytes, a task thread calls back, and the loop is rung for. With the socket
 * in the loop's own epoll it is one, and nng_stream_recv, called when bytes are there, takes them
 * before it returns.
 *
 * So it is looked for among the process's descriptors, by what nng and the kernel both say of a
 * connection's ends: of ipc the process at the other end, of tcp both addresses. */
#pragma once

#include <nng/nng.h>
#include <stdbool.h>

/* A duplicate (close-on-exec) of the connection's socket, for waiting only: reading, writing and
 * the end stay nng's. To be closed when the connection is. A socket that has a duplicate already is
 * another connection's.
 *
 * -1: not to be told for certain (several fit, for example two connections of this process to one
 * peer that were made at once; the connection is over; no descriptor is left; no /proc). Then its
 * receives have to go nng's way. */
int bus_descriptor_dup(nng_stream *connection, bool was_accepted);
