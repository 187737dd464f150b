#include "frame.h"

#include "crc32c.h"

#define FRAME_AT_VERSION 4
#define FRAME_AT_TYPE 6
#define FRAME_AT_CORRELATION 8
#define FRAME_AT_EPOCH 16
#define FRAME_AT_BODY_BYTES 24
#define FRAME_AT_CHECKSUM 28

static uint32_t frame_checksum(const uint8_t *header, const uint8_t *body, size_t body_bytes)
{
    return crc32c(crc32c(0, header, FRAME_AT_CHECKSUM), body, body_bytes);
}

void frame_encode_header(const struct frame *frame, uint8_t into[FRAME_HEADER_BYTES])
{
    wire_store_u32(into, FRAME_MAGIC);
    wire_store_u16(into + FRAME_AT_VERSION, FRAME_VERSION);
    wire_store_u16(into + FRAME_AT_TYPE, frame->type);
    wire_store_u64(into + FRAME_AT_CORRELATION, frame->correlation);
    wire_store_u64(into + FRAME_AT_EPOCH, frame->epoch);
    wire_store_u32(into + FRAME_AT_BODY_BYTES, frame->body_bytes);
    wire_store_u32(into + FRAME_AT_CHECKSUM, frame_checksum(into, frame->body, frame->body_bytes));
}

int frame_measure(const void *bytes, size_t length, size_t body_bytes_max, size_t *ret_total)
{
    const uint8_t *header = bytes;
    *ret_total = FRAME_HEADER_BYTES;
    if (length >= sizeof(uint32_t) && wire_load_u32(header) != FRAME_MAGIC)
        return FRAME_BAD_MAGIC;
    if (length < FRAME_HEADER_BYTES)
        return FRAME_SHORT;
    uint32_t body_bytes = wire_load_u32(header + FRAME_AT_BODY_BYTES);
    if (body_bytes > body_bytes_max)
        return FRAME_BAD_LENGTH;
    *ret_total += body_bytes;
    return 0;
}

int frame_decode(const void *bytes, size_t length, struct frame *ret_frame)
{
    const uint8_t *header = bytes;
    if (length < FRAME_HEADER_BYTES)
        return FRAME_SHORT;
    if (wire_load_u32(header) != FRAME_MAGIC)
        return FRAME_BAD_MAGIC;
    if (wire_load_u16(header + FRAME_AT_VERSION) != FRAME_VERSION)
        return FRAME_BAD_VERSION;
    uint32_t body_bytes = wire_load_u32(header + FRAME_AT_BODY_BYTES);
    if (body_bytes != length - FRAME_HEADER_BYTES)
        return FRAME_BAD_LENGTH;
    const uint8_t *body = header + FRAME_HEADER_BYTES;
    if (wire_load_u32(header + FRAME_AT_CHECKSUM) != frame_checksum(header, body, body_bytes))
        return FRAME_BAD_CHECKSUM;
    *ret_frame = (struct frame){
        .type = wire_load_u16(header + FRAME_AT_TYPE),
        .correlation = wire_load_u64(header + FRAME_AT_CORRELATION),
        .epoch = wire_load_u64(header + FRAME_AT_EPOCH),
        .body = body,
        .body_bytes = body_bytes,
    };
    return 0;
}

const char *frame_outcome_text(int outcome)
{
    static const char *const texts[] = {
        "whole",         "shorter than its header", "wrong magic",
        "other version", "wrong body length",       "wrong checksum"};
    return outcome >= 0 && outcome <= FRAME_BAD_CHECKSUM ? texts[outcome] : "unknown";
}
