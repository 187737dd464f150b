#include "record.h"

#include "crc32c.h"

#include <assert.h>

uint32_t record_encode(struct buffer *into, const struct record *record, uint32_t seed)
{
    uint64_t bytes = record_bytes_of(record->data_bytes);
    uint8_t *at = buffer_reserve(into, bytes);
    assert(record->data_bytes <= RECORD_DATA_BYTES_MAX);
    memset(at, 0, RECORD_HEADER_BYTES);
    wire_store_u32(at, record->data_bytes);
    wire_store_u32(at + 8, record->chain);
    at[12] = (uint8_t)record->kind;
    wire_store_u64(at + 16, record->index);
    wire_store_u64(at + 24, record->term);
    wire_store_u64(at + 32, record->synced_index);
    if (record->data_bytes)
        memcpy(at + RECORD_HEADER_BYTES, record->data, record->data_bytes);
    uint64_t end = RECORD_HEADER_BYTES + (uint64_t)record->data_bytes;
    memset(at + end, 0, bytes - end);
    uint32_t crc = crc32c(seed, at + 8, bytes - 8);
    wire_store_u32(at + 4, crc);
    into->length += bytes;
    return crc;
}

int record_decode(const uint8_t *bytes, uint64_t length, uint32_t seed, struct record *ret_record)
{
    if (length < RECORD_HEADER_BYTES)
        return RECORD_NONE;
    struct record record = {
        .data_bytes = wire_load_u32(bytes),
        .crc = wire_load_u32(bytes + 4),
        .chain = wire_load_u32(bytes + 8),
        .kind = (enum entry_kind)bytes[12],
        .index = wire_load_u64(bytes + 16),
        .term = wire_load_u64(bytes + 24),
        .synced_index = wire_load_u64(bytes + 32),
        .data = bytes + RECORD_HEADER_BYTES,
    };
    if (record.data_bytes > RECORD_DATA_BYTES_MAX || record_bytes_of(record.data_bytes) > length ||
        record.index == 0 || record.kind < ENTRY_COMMAND || record.kind > ENTRY_CONFIGURATION)
        return RECORD_NONE;
    if (crc32c(seed, bytes + 8, record_bytes_of(record.data_bytes) - 8) != record.crc)
        return RECORD_NONE;
    *ret_record = record;
    return 0;
}
