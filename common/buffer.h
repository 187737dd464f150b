/* A growable run of bytes. Zero-initialised is empty and valid. Growth that fails ends the process
 * (buffer_reserve aborts): every caller's bytes are bounded by common/limits.h, so running out of
 * memory here means the machine is out of it, and the supervisor restarts the daemon. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct buffer {
    uint8_t *bytes;
    size_t length;
    size_t capacity;
};

/* Room for `more` further bytes; returns where they go. */
uint8_t *buffer_reserve(struct buffer *buffer, size_t more);
/* `bytes` may be NULL if `length` is 0. */
void buffer_append(struct buffer *buffer, const void *bytes, size_t length);
/* Forgets the content, keeps the memory unless it is over `keep_bytes_max`. */
void buffer_clear(struct buffer *buffer, size_t keep_bytes_max);
void buffer_free(struct buffer *buffer);

/* malloc, calloc and strdup that abort when out of memory, for the same reason. */
void *memory_new(size_t bytes);
void *memory_new_zeroed(size_t count, size_t bytes);
char *memory_copy_string(const char *text);
