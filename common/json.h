/* JSON (RFC 8259) read strictly, value by value, as its reader expects it: nothing is allocated,
 * and strings are decoded where they stand. Every function skips the space before what it reads;
 * false: it is not there, and the reader is of no more use.
 *
 * Beside cJSON, for keys and values: cJSON ends a string at a NUL, holds numbers as doubles, and
 * copies what may be 16 MiB. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_reader {
    uint8_t *at, *end;
};

/* Decoded; points into the reader's bytes, any bytes may be in it (also NUL). */
struct json_text {
    const uint8_t *bytes;
    size_t length;
};

static inline struct json_reader json_reader_of(void *bytes, size_t length)
{
    return (struct json_reader){bytes, (uint8_t *)bytes + length};
}

/* The next byte that is no space, without taking it; 0 at the end. */
uint8_t json_peek(struct json_reader *reader);
/* Takes this byte: a brace, bracket, comma or colon. */
bool json_take(struct json_reader *reader, char byte);
/* The end, but for space. */
bool json_finished(struct json_reader *reader);

/* A string of valid UTF-8. */
bool json_read_string(struct json_reader *reader, struct json_text *ret_text);
/* A string of base64, decoded. */
bool json_read_base64(struct json_reader *reader, struct json_text *ret_bytes);
/* 0 .. 2^64 - 1, digits only. */
bool json_read_number(struct json_reader *reader, uint64_t *ret_number);
bool json_read_bool(struct json_reader *reader, bool *ret_yes);
/* Any one value; no more than 16 deep. */
bool json_skip_value(struct json_reader *reader);

bool json_text_is(const struct json_text *text, const char *expected);
