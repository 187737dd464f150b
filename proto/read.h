/* httpd -> storaged: reads of single keys, many in one message.
 *
 *   READ:    u64 lowest applied index to answer at (0: as it is), u32 ms to wait for it, u32 count,
 * count x blob key READ_OK: u64 applied index, u32 count, count x { u16 status, u64 revision, blob
 * value }
 *
 * Statuses: OK, NOT_FOUND, AGAIN (the reply was full: ask again for this key), TIMEOUT (the index
 * was not reached in time), DAMAGED. */
#pragma once

#include "buffer.h"
#include "propose.h"
#include "wire.h"

#include <stdint.h>

void read_begin(struct buffer *into, uint64_t index_min, uint32_t wait_ms);
void read_add(struct buffer *into, const void *key, size_t key_bytes);
uint32_t read_count(const struct buffer *read);
int read_decode(struct wire_reader *body, uint64_t *ret_index_min, uint32_t *ret_wait_ms,
                struct message_list *ret_list);
bool read_next(struct message_list *list, const uint8_t **ret_key, size_t *ret_key_bytes);

struct read_record {
    uint16_t status;
    uint64_t revision;
    const uint8_t *value;
    size_t value_bytes;
};

void read_ok_begin(struct buffer *into, uint64_t applied_index);
void read_ok_add(struct buffer *into, const struct read_record *record);
int read_ok_decode(struct wire_reader *body, uint64_t *ret_applied_index,
                   struct message_list *ret_list);
bool read_ok_next(struct message_list *list, struct read_record *ret_record);
