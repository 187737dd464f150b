#include "display.h"

#include "text.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct display display_of_process(void)
{
    const char *terminal = getenv("TERM");
    const char *no_colour = getenv("NO_COLOR");
    bool plain = (no_colour && no_colour[0]) || !terminal || !strcmp(terminal, "dumb");
    return (struct display){.out_is_terminal = isatty(STDOUT_FILENO),
                            .error_in_colour = !plain && isatty(STDERR_FILENO)};
}

void display_append_text(struct buffer *into, const char *text)
{
    buffer_append(into, text, strlen(text));
}

/* Control characters, those of U+0080 to U+009F too. */
static bool utf8_is_control(const unsigned char *bytes, size_t length)
{
    return (length == 1 && (bytes[0] < 0x20 || bytes[0] == 0x7f)) ||
           (length == 2 && bytes[0] == 0xc2 && bytes[1] < 0xa0);
}

/* ---- forms ---- */

static void append_hex(struct buffer *into, const char *before, unsigned char byte)
{
    static const char digits[] = "0123456789abcdef";
    char pair[2] = {digits[byte >> 4], digits[byte & 15]};
    display_append_text(into, before);
    buffer_append(into, pair, sizeof(pair));
}

void display_append_escaped(const char *bytes, size_t length, bool keep_lines, struct buffer *into)
{
    const unsigned char *at = (const unsigned char *)bytes, *end = at + length;
    while (at < end) {
        size_t taken = utf8_length(at, (size_t)(end - at));
        bool kept = keep_lines && (*at == '\n' || *at == '\t');
        if (kept || (taken > 0 && !utf8_is_control(at, taken))) {
            buffer_append(into, at, taken);
        } else {
            taken = taken ? taken : 1;
            for (size_t i = 0; i < taken; i++)
                append_hex(into, "\\x", at[i]);
        }
        at += taken;
    }
}

void display_append_bytes(enum display_format format, const char *bytes, size_t length,
                          struct buffer *into)
{
    if (format == FORMAT_HEX)
        for (size_t i = 0; i < length; i++)
            append_hex(into, "", (unsigned char)bytes[i]);
    else if (format == FORMAT_BASE64)
        base64_append(into, (const uint8_t *)bytes, length);
    else
        buffer_append(into, bytes, length);
}

void display_append_value(const struct display *display, enum display_format format,
                          const char *bytes, size_t length, struct buffer *into)
{
    bool fitting = format == FORMAT_FITTING;
    if (fitting && display->out_is_terminal)
        display_append_escaped(bytes, length, true, into);
    else
        display_append_bytes(format, bytes, length, into);
    if (format != FORMAT_RAW && (!fitting || display->out_is_terminal || display->several))
        display_append_text(into, "\n");
}

void display_append_json(const char *name, const char *bytes, size_t length, struct buffer *into)
{
    json_append_bytes(into, name, (const uint8_t *)bytes, length);
}

bool display_write(const struct buffer *text)
{
    size_t written = text->length ? fwrite(text->bytes, 1, text->length, stdout) : 0;
    return written == text->length && fflush(stdout) == 0;
}
