/* How results and complaints look: values to a terminal, a pipe or as JSON; colour on a terminal
 * only. */
#pragma once

#include "buffer.h"

#include <stdbool.h>
#include <stddef.h>

enum display_format {
    FORMAT_FITTING, /* a terminal: readable, and a newline; else the bytes */
    FORMAT_RAW,     /* the bytes and nothing else */
    FORMAT_HEX,
    FORMAT_BASE64,
};

struct display {
    bool out_is_terminal;
    bool error_in_colour;
    bool several; /* more than one result goes to a pipe: FORMAT_FITTING ends each with a newline */
};

struct display display_of_process(void);

/* What of `bytes` goes to the terminal or pipe. */
void display_append_value(const struct display *display, enum display_format format,
                          const char *bytes, size_t length, struct buffer *into);

/* In hexadecimal or base64, or (any other format) as they are. */
void display_append_bytes(enum display_format format, const char *bytes, size_t length,
                          struct buffer *into);

/* Valid UTF-8 as it is, but for what could move a cursor: that, and other bytes, as \xNN. Newlines
 * and tabs stay if `keep_lines`. */
void display_append_escaped(const char *bytes, size_t length, bool keep_lines, struct buffer *into);

/* `"name":"..."`, or `"name_base64":"..."` if the bytes are no valid UTF-8. */
void display_append_json(const char *name, const char *bytes, size_t length, struct buffer *into);

void display_append_text(struct buffer *into, const char *text);

/* All of it to stdout. False if that failed (for good: the reader is gone, the disk is full). */
bool display_write(const struct buffer *text);
