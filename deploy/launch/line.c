#include "line.h"

#include <string.h>

void line_flush(struct line_splitter *splitter, line_fn *fn, void *context)
{
    if (splitter->length > 0)
        fn(context, splitter->bytes, splitter->length);
    splitter->length = 0;
}

/* The bytes up to the newline, or all there are: as much of them as fits. */
static size_t line_take(struct line_splitter *splitter, const char *bytes, size_t length)
{
    size_t room = sizeof(splitter->bytes) - splitter->length;
    size_t taken = length < room ? length : room;
    memcpy(splitter->bytes + splitter->length, bytes, taken);
    splitter->length += taken;
    return taken;
}

void line_feed(struct line_splitter *splitter, const char *bytes, size_t length, line_fn *fn,
               void *context)
{
    while (length > 0) {
        const char *newline = memchr(bytes, '\n', length);
        size_t part = newline ? (size_t)(newline - bytes) : length;
        size_t taken = line_take(splitter, bytes, part);
        bytes += taken;
        length -= taken;
        if (taken < part) { /* full, and the line goes on */
            line_flush(splitter, fn, context);
        } else if (newline) { /* an empty line is a line too */
            fn(context, splitter->bytes, splitter->length);
            splitter->length = 0;
            bytes++;
            length--;
        }
    }
}
