#include "wire.h"

const uint8_t *wire_get_bytes(struct wire_reader *reader, size_t length)
{
    if (reader->failed || length > reader->left) {
        reader->failed = true;
        return NULL;
    }
    const uint8_t *bytes = reader->at;
    reader->at += length;
    reader->left -= length;
    return bytes;
}

uint8_t wire_get_u8(struct wire_reader *reader)
{
    const uint8_t *at = wire_get_bytes(reader, 1);
    return at ? *at : 0;
}

uint16_t wire_get_u16(struct wire_reader *reader)
{
    const uint8_t *at = wire_get_bytes(reader, 2);
    return at ? wire_load_u16(at) : 0;
}

uint32_t wire_get_u32(struct wire_reader *reader)
{
    const uint8_t *at = wire_get_bytes(reader, 4);
    return at ? wire_load_u32(at) : 0;
}

uint64_t wire_get_u64(struct wire_reader *reader)
{
    const uint8_t *at = wire_get_bytes(reader, 8);
    return at ? wire_load_u64(at) : 0;
}

const uint8_t *wire_get_blob(struct wire_reader *reader, size_t length_max, size_t *ret_length)
{
    uint32_t length = wire_get_u32(reader);
    if (length > length_max)
        reader->failed = true;
    const uint8_t *bytes = wire_get_bytes(reader, length);
    *ret_length = bytes ? length : 0;
    return bytes;
}

void wire_get_text(struct wire_reader *reader, char *into, size_t into_bytes)
{
    size_t length;
    const uint8_t *bytes = wire_get_blob(reader, into_bytes - 1, &length);
    if (bytes && memchr(bytes, 0, length)) {
        reader->failed = true;
        length = 0;
    }
    if (bytes)
        memcpy(into, bytes, length);
    into[length] = '\0';
}

bool wire_finished(const struct wire_reader *reader)
{
    return !reader->failed && reader->left == 0;
}

void wire_put_u8(struct buffer *buffer, uint8_t value)
{
    *buffer_reserve(buffer, 1) = value;
    buffer->length += 1;
}

void wire_put_u16(struct buffer *buffer, uint16_t value)
{
    wire_store_u16(buffer_reserve(buffer, 2), value);
    buffer->length += 2;
}

void wire_put_u32(struct buffer *buffer, uint32_t value)
{
    wire_store_u32(buffer_reserve(buffer, 4), value);
    buffer->length += 4;
}

void wire_put_u64(struct buffer *buffer, uint64_t value)
{
    wire_store_u64(buffer_reserve(buffer, 8), value);
    buffer->length += 8;
}

void wire_put_bytes(struct buffer *buffer, const void *bytes, size_t length)
{
    buffer_append(buffer, bytes, length);
}

void wire_put_blob(struct buffer *buffer, const void *bytes, size_t length)
{
    wire_put_u32(buffer, (uint32_t)length);
    buffer_append(buffer, bytes, length);
}

void wire_put_text(struct buffer *buffer, const char *text)
{
    wire_put_blob(buffer, text, strlen(text));
}
