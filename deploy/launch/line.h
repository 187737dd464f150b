/* Cuts a daemon's output into lines. Bounded: a line that does not fit comes in pieces. */
#pragma once

#include "launch_limits.h"

#include <stddef.h>

struct line_splitter {
    char bytes[LAUNCH_LINE_BYTES_MAX];
    size_t length;
};

/* `line` has no newline and no NUL behind it, and is gone after the call. */
typedef void line_fn(void *context, const char *line, size_t length);

void line_feed(struct line_splitter *splitter, const char *bytes, size_t length, line_fn *fn,
               void *context);
/* Hands out what is left without a newline, if anything: the process has ended. */
void line_flush(struct line_splitter *splitter, line_fn *fn, void *context);
