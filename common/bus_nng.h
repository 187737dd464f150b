/* What both ends of the bus share of nng: frames in and out of messages, and option setting.
 * Private to bus_*.c. */
#pragma once

#include "bus.h"
#include "error.h"
#include "frame.h"

#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>

/* nng's error numbers as negative errno. */
int bus_nng_errno(int nng_code);
/* Queues and the receive limit, on a socket just opened. */
int bus_nng_configure(nng_socket socket, struct error *error);
/* Builds the message and hands it to nng without waiting. `route` goes in front of nng's own
 * header. 0, -EAGAIN if the queue is full, other errno. */
int bus_nng_send(nng_socket socket, const uint32_t *words, uint32_t words_count,
                 struct frame *frame);
/* The next message, or NULL if none waits. The caller frees it with nng_msg_free. */
nng_msg *bus_nng_receive(nng_socket socket);
