/* One entry in a log file. Owner: raftd.
 *
 *   OFFSET SIZE
 *   0      4    data bytes
 *   4      4    CRC-32C of bytes 8..39, the data and its padding, begun with the segment header's
 * CRC 8      4    CRC of the record before it (of the segment's header for the first): the chain 12
 * 1    kind (enum entry_kind) 13     3    zero 16     8    index 24     8    term 32     8 synced
 * index: what was durable for certain when this was written 40     -    data, padded with zeros to
 * a multiple of 8
 *
 * A record proves itself by its CRC and its place by the chain. Each segment's CRCs begin with a
 * number nobody can foresee (segment.h), so bytes inside a value never pass for a record. The
 * synced index tells a torn tail from damage: a record that claims that a broken one before it was
 * durable convicts the disk; without such a witness the broken one is a write that a crash cut. */
#pragma once

#include "apply.h"
#include "buffer.h"

#include <stdbool.h>
#include <stdint.h>

#define RECORD_HEADER_BYTES 40u
#define RECORD_DATA_BYTES_MAX (LIMIT_VALUE_BYTES_CAP + 8192u) /* the longest command */

struct record {
    enum entry_kind kind;
    uint64_t index;
    uint64_t term;
    uint64_t synced_index;
    uint32_t chain; /* CRC of the record before */
    uint32_t crc;   /* own */
    const uint8_t *data;
    uint32_t data_bytes;
};

static inline uint64_t record_bytes_of(uint32_t data_bytes)
{
    return (RECORD_HEADER_BYTES + (uint64_t)data_bytes + 7) & ~7ull;
}

/* Appends the record; returns its CRC, the next one's chain. `seed`: the segment header's CRC. */
uint32_t record_encode(struct buffer *into, const struct record *record, uint32_t seed);

enum record_outcome { RECORD_NONE = 1 /* no whole, valid record begins here */ };
/* The record at the beginning of the bytes; it points into them. 0 or RECORD_NONE. Does not look at
 * the chain. */
int record_decode(const uint8_t *bytes, uint64_t length, uint32_t seed, struct record *ret_record);
