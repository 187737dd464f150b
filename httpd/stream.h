/* A body that is made while it is sent: text is rendered piece by piece as the client takes it, and
 * while there is none the connection is suspended. The first member of what renders it. */
#pragma once

#include "dispatch.h"

#include <microhttpd.h>

enum stream_outcome {
    STREAM_TEXT, /* some was made */
    STREAM_WAIT, /* nothing now: stream_wake when there is */
    STREAM_END,
    STREAM_BROKEN, /* it is not whole: the connection ends without the body's end */
};

struct stream {
    struct httpd *httpd;
    struct MHD_Connection *mhd;
    enum stream_outcome (*render)(struct stream *stream); /* into `text`, which is empty */
    struct buffer text;                                   /* not yet taken from text_at on */
    size_t text_at;
    bool suspended;
};

/* For reply_stream.read; the context is the stream. */
ssize_t stream_read(void *context, uint64_t at, char *into, size_t into_bytes);
void stream_wake(struct stream *stream);
