#include "buffer.h"

#include <stdlib.h>
#include <string.h>

#define BUFFER_BYTES_MIN 256u

static void *memory_or_abort(void *memory)
{
    if (!memory)
        abort();
    return memory;
}

uint8_t *buffer_reserve(struct buffer *buffer, size_t more)
{
    size_t wanted;
    if (__builtin_add_overflow(buffer->length, more, &wanted))
        abort();
    if (wanted > buffer->capacity || !buffer->bytes) {
        size_t capacity = buffer->capacity ? buffer->capacity : BUFFER_BYTES_MIN;
        while (capacity < wanted)
            capacity += capacity / 2;
        buffer->bytes = memory_or_abort(realloc(buffer->bytes, capacity));
        buffer->capacity = capacity;
    }
    return buffer->bytes + buffer->length;
}

void buffer_append(struct buffer *buffer, const void *bytes, size_t length)
{
    if (!length)
        return;
    memcpy(buffer_reserve(buffer, length), bytes, length);
    buffer->length += length;
}

void buffer_clear(struct buffer *buffer, size_t keep_bytes_max)
{
    if (buffer->capacity > keep_bytes_max)
        buffer_free(buffer);
    buffer->length = 0;
}

void buffer_free(struct buffer *buffer)
{
    free(buffer->bytes);
    *buffer = (struct buffer){0};
}

void *memory_new(size_t bytes)
{
    return memory_or_abort(malloc(bytes ? bytes : 1));
}

void *memory_new_zeroed(size_t count, size_t bytes)
{
    return memory_or_abort(calloc(count ? count : 1, bytes ? bytes : 1));
}

char *memory_copy_string(const char *text)
{
    return memory_or_abort(strdup(text));
}
