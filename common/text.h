/* Bytes as text: numbers, UTF-8, base64, and strings of JSON. */
#pragma once

#include "buffer.h"

#include <stdbool.h>

/* Decimal digits and nothing else, one at least. False: they are none, or more than 2^64 - 1. */
bool text_read_number(const void *bytes, size_t length, uint64_t *ret_number);

/* The bytes of the valid sequence at `bytes`, 0 if there is none (RFC 3629, 4): no overlong forms,
 * no surrogates, nothing over U+10FFFF. `left` is at least 1. */
size_t utf8_length(const uint8_t *bytes, size_t left);
bool utf8_is_valid(const uint8_t *bytes, size_t length);
/* The sequence of a code point, 1 to 4 bytes. */
size_t utf8_encode(uint32_t code_point, uint8_t into[4]);

void base64_append(struct buffer *into, const uint8_t *bytes, size_t length);
/* Decodes in place (RFC 4648, 4: padded, no line ends, unused bits 0). False: it is no base64. */
bool base64_decode(uint8_t *text, size_t length, size_t *ret_length);

/* `"name":"..."`, or `"name_base64":"..."` if the bytes are no valid UTF-8. */
void json_append_bytes(struct buffer *into, const char *name, const uint8_t *bytes, size_t length);

/* The same in pieces, for bytes that are many: begin, then more until it returns false. The bytes
 * must stay where they are. */
struct json_bytes {
    const uint8_t *bytes;
    size_t left;
    bool is_text;
};
struct json_bytes json_bytes_begin(struct buffer *into, const char *name, const uint8_t *bytes,
                                   size_t length);
/* Of about `bytes_max` bytes, at least one; each becomes up to six. */
bool json_bytes_more(struct json_bytes *member, struct buffer *into, size_t bytes_max);
