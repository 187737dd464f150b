#include "display.h"

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

/* ---- UTF-8 ---- */

/* The bytes of the valid sequence at `bytes`, 0 if there is none (RFC 3629, 4): no overlong forms,
 * no surrogates, nothing over U+10FFFF. */
static size_t utf8_length(const unsigned char *bytes, size_t left)
{
    static const struct {
        unsigned char first_min, first_max, second_min, second_max, length;
    } forms[] = {
        {0x00, 0x7f, 0x00, 0x00, 1}, {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++) {
        if (bytes[0] < forms[i].first_min || bytes[0] > forms[i].first_max)
            continue;
        if (left < forms[i].length)
            return 0;
        for (size_t j = 1; j < forms[i].length; j++) {
            unsigned char low = j == 1 ? forms[i].second_min : 0x80;
            unsigned char high = j == 1 ? forms[i].second_max : 0xbf;
            if (bytes[j] < low || bytes[j] > high)
                return 0;
        }
        return forms[i].length;
    }
    return 0;
}

static bool utf8_is_valid(const char *bytes, size_t length)
{
    for (size_t at = 0; at < length;) {
        size_t taken = utf8_length((const unsigned char *)bytes + at, length - at);
        if (taken == 0)
            return false;
        at += taken;
    }
    return true;
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

static void append_base64(struct buffer *into, const char *bytes, size_t length)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t at = 0; at < length; at += 3) {
        size_t left = length - at;
        uint32_t group = (uint32_t)(unsigned char)bytes[at] << 16;
        if (left > 1)
            group |= (uint32_t)(unsigned char)bytes[at + 1] << 8;
        if (left > 2)
            group |= (unsigned char)bytes[at + 2];
        char four[4] = {letters[group >> 18], letters[group >> 12 & 63],
                        left > 1 ? letters[group >> 6 & 63] : '=',
                        left > 2 ? letters[group & 63] : '='};
        buffer_append(into, four, sizeof(four));
    }
}

void display_append_value(const struct display *display, enum display_format format,
                          const char *bytes, size_t length, struct buffer *into)
{
    bool fitting = format == FORMAT_FITTING;
    if (format == FORMAT_HEX)
        for (size_t i = 0; i < length; i++)
            append_hex(into, "", (unsigned char)bytes[i]);
    else if (format == FORMAT_BASE64)
        append_base64(into, bytes, length);
    else if (fitting && display->out_is_terminal)
        display_append_escaped(bytes, length, true, into);
    else
        buffer_append(into, bytes, length);
    if (format != FORMAT_RAW && (!fitting || display->out_is_terminal || display->several))
        display_append_text(into, "\n");
}

static void append_json_byte(struct buffer *into, unsigned char byte)
{
    static const char names[] = "\"\\\n\r\t\b\f", letters[] = "\"\\nrtbf";
    const char *name = byte ? strchr(names, byte) : NULL;
    if (name) {
        char pair[2] = {'\\', letters[name - names]};
        buffer_append(into, pair, sizeof(pair));
    } else if (byte < 0x20 || byte == 0x7f) {
        append_hex(into, "\\u00", byte);
    } else {
        buffer_append(into, &byte, 1);
    }
}

void display_append_json(const char *name, const char *bytes, size_t length, struct buffer *into)
{
    bool is_text = utf8_is_valid(bytes, length);
    display_append_text(into, "\"");
    display_append_text(into, name);
    display_append_text(into, is_text ? "\":\"" : "_base64\":\"");
    if (is_text)
        for (size_t i = 0; i < length; i++)
            append_json_byte(into, (unsigned char)bytes[i]);
    else
        append_base64(into, bytes, length);
    display_append_text(into, "\"");
}

bool display_write(const struct buffer *text)
{
    size_t written = text->length ? fwrite(text->bytes, 1, text->length, stdout) : 0;
    return written == text->length && fflush(stdout) == 0;
}
