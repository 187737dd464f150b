/* Little-endian fields, written to a buffer and read from a bounded run of bytes. Used by frames,
 * messages and file formats. A reader never reads past its end: the first read that would makes it
 * `failed`, returns zeros from then on, and the decoder checks wire_finished() once at its end. */
#pragma once

#include "buffer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct wire_reader {
    const uint8_t *at;
    size_t left;
    bool failed;
};

static inline struct wire_reader wire_reader_of(const void *bytes, size_t length)
{
    return (struct wire_reader){.at = bytes, .left = length, .failed = false};
}

uint8_t wire_get_u8(struct wire_reader *reader);
uint16_t wire_get_u16(struct wire_reader *reader);
uint32_t wire_get_u32(struct wire_reader *reader);
uint64_t wire_get_u64(struct wire_reader *reader);
/* Points into the reader's bytes; NULL (and failed) if fewer are left. */
const uint8_t *wire_get_bytes(struct wire_reader *reader, size_t length);
/* A u32 length and that many bytes; longer than `length_max` fails. */
const uint8_t *wire_get_blob(struct wire_reader *reader, size_t length_max, size_t *ret_length);
/* As a blob, copied with a NUL behind it; fails if it does not fit or holds a NUL. */
void wire_get_text(struct wire_reader *reader, char *into, size_t into_bytes);
/* True if nothing failed and nothing is left: short, long and trailing input are all refused. */
bool wire_finished(const struct wire_reader *reader);

void wire_put_u8(struct buffer *buffer, uint8_t value);
void wire_put_u16(struct buffer *buffer, uint16_t value);
void wire_put_u32(struct buffer *buffer, uint32_t value);
void wire_put_u64(struct buffer *buffer, uint64_t value);
void wire_put_bytes(struct buffer *buffer, const void *bytes, size_t length);
void wire_put_blob(struct buffer *buffer, const void *bytes, size_t length);
void wire_put_text(struct buffer *buffer, const char *text);

/* Fields at fixed places, for pages and headers. */
static inline uint16_t wire_load_u16(const uint8_t *at)
{
    uint16_t value;
    memcpy(&value, at, sizeof(value));
    return value;
}

static inline uint32_t wire_load_u32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof(value));
    return value;
}

static inline uint64_t wire_load_u64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof(value));
    return value;
}

static inline void wire_store_u16(uint8_t *at, uint16_t value)
{
    memcpy(at, &value, sizeof(value));
}

static inline void wire_store_u32(uint8_t *at, uint32_t value)
{
    memcpy(at, &value, sizeof(value));
}

static inline void wire_store_u64(uint8_t *at, uint64_t value)
{
    memcpy(at, &value, sizeof(value));
}

_Static_assert(
    __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
    "the fixed-place fields are stored in the machine's order, which must be little-endian");
