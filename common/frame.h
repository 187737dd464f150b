/* The frame around every message on an edge between processes.
 *
 *   OFFSET SIZE
 *   0      4     magic 0x46524e43 ("CNRF")
 *   4      2     version of the frame and the messages (FRAME_VERSION)
 *   6      2     type: a number of proto/messages.def
 *   8      8     correlation: the caller's number of this call, given back in the reply
 *   16     8     epoch: the callee's boot epoch the caller believes in; 0 in a HELLO
 *   24     4     body bytes
 *   28     4     CRC-32C of bytes 0..27 and the body
 *   32     -     body
 *
 * The epoch makes a restarted callee visible: a frame queued for its predecessor is refused, so a
 * call that was failed as unknown is never carried out later by the new process. */
#pragma once

#include "buffer.h"
#include "wire.h"

#include <stdint.h>

#define FRAME_MAGIC 0x46524e43u
#define FRAME_VERSION 3u
#define FRAME_HEADER_BYTES 32u

/* Numbers the bus itself needs; proto/messages.def repeats them and checks that they agree. */
#define FRAME_TYPE_HELLO 1u
#define FRAME_TYPE_WELCOME 2u
#define FRAME_TYPE_REFUSED 3u

struct frame {
    uint16_t type;
    uint64_t correlation;
    uint64_t epoch;
    const uint8_t *body; /* inside the bytes it was decoded from */
    uint32_t body_bytes;
};

enum frame_outcome {
    FRAME_SHORT = 1,
    FRAME_BAD_MAGIC,
    FRAME_BAD_VERSION,
    FRAME_BAD_LENGTH, /* the body is longer or shorter than said */
    FRAME_BAD_CHECKSUM,
};

/* Writes the 32 header bytes for `frame` (whose body is read for the checksum). */
void frame_encode_header(const struct frame *frame, uint8_t into[FRAME_HEADER_BYTES]);
/* How long the frame is that begins here: 0 and *ret_total bytes (header included, whether they are
 * here or not); FRAME_SHORT and the bytes needed to tell; or what is wrong with it:
 * FRAME_BAD_MAGIC, FRAME_BAD_LENGTH (a body over `body_bytes_max`). */
int frame_measure(const void *bytes, size_t length, size_t body_bytes_max, size_t *ret_total);
/* 0 or a frame_outcome. */
int frame_decode(const void *bytes, size_t length, struct frame *ret_frame);
const char *frame_outcome_text(int outcome);
