#include "read.h"

#include "list.h"
#include "message.h"

#include <errno.h>

#define READ_AT_COUNT 12u
#define READ_OK_AT_COUNT 8u

/* ---- READ ---- */

void read_begin(struct buffer *into, uint64_t index_min, uint32_t wait_ms)
{
    into->length = 0;
    wire_put_u64(into, index_min);
    wire_put_u32(into, wait_ms);
    wire_put_u32(into, 0);
}

void read_add(struct buffer *into, const void *key, size_t key_bytes)
{
    wire_put_blob(into, key, key_bytes);
    list_count_one(into, READ_AT_COUNT);
}

uint32_t read_count(const struct buffer *read)
{
    return read->length ? wire_load_u32(read->bytes + READ_AT_COUNT) : 0;
}

static bool read_step(struct wire_reader *reader)
{
    size_t length;
    return wire_get_blob(reader, LIMIT_KEY_BYTES_CAP, &length) != NULL && length > 0;
}

int read_decode(struct wire_reader *body, uint64_t *ret_index_min, uint32_t *ret_wait_ms,
                struct message_list *ret_list)
{
    uint64_t index_min = wire_get_u64(body);
    uint32_t wait_ms = wire_get_u32(body);
    if (!list_check(body, read_step, ret_list))
        return -EPROTO;
    *ret_index_min = index_min;
    *ret_wait_ms = wait_ms;
    return 0;
}

bool read_next(struct message_list *list, const uint8_t **ret_key, size_t *ret_key_bytes)
{
    return list_next_blob(list, ret_key, ret_key_bytes);
}

/* ---- READ_OK ---- */

void read_ok_begin(struct buffer *into, uint64_t applied_index)
{
    into->length = 0;
    wire_put_u64(into, applied_index);
    wire_put_u32(into, 0);
}

void read_ok_add(struct buffer *into, const struct read_record *record)
{
    wire_put_u16(into, record->status);
    wire_put_u64(into, record->revision);
    wire_put_blob(into, record->value, record->value_bytes);
    list_count_one(into, READ_OK_AT_COUNT);
}

static void read_ok_get(struct wire_reader *reader, struct read_record *record)
{
    record->status = wire_get_u16(reader);
    record->revision = wire_get_u64(reader);
    record->value = wire_get_blob(reader, LIMIT_VALUE_BYTES_CAP, &record->value_bytes);
}

static bool read_ok_step(struct wire_reader *reader)
{
    struct read_record record;
    read_ok_get(reader, &record);
    return record.status <= PROTO_STATUS_NO_SPACE;
}

int read_ok_decode(struct wire_reader *body, uint64_t *ret_applied_index,
                   struct message_list *ret_list)
{
    uint64_t applied_index = wire_get_u64(body);
    if (!list_check(body, read_ok_step, ret_list))
        return -EPROTO;
    *ret_applied_index = applied_index;
    return 0;
}

bool read_ok_next(struct message_list *list, struct read_record *ret_record)
{
    if (!list_take(list))
        return false;
    read_ok_get(&list->reader, ret_record);
    return true;
}
