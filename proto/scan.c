#include "scan.h"

#include "list.h"
#include "message.h"

#include <errno.h>

static int finished(const struct wire_reader *body)
{
    return wire_finished(body) ? 0 : -EPROTO;
}

/* ---- asking ---- */

void scan_open_encode(struct buffer *into, const struct scan_open *open)
{
    into->length = 0;
    wire_put_u64(into, open->index_min);
    wire_put_u32(into, open->wait_ms);
    wire_put_u8(into, open->flags);
    wire_put_u64(into, open->keys_max);
    wire_put_blob(into, open->start, open->start_bytes);
    wire_put_blob(into, open->end, open->end_bytes);
    wire_put_blob(into, open->after, open->after_bytes);
}

int scan_open_decode(struct wire_reader *body, struct scan_open *ret_open)
{
    struct scan_open open = {0};
    open.index_min = wire_get_u64(body);
    open.wait_ms = wire_get_u32(body);
    open.flags = wire_get_u8(body);
    open.keys_max = wire_get_u64(body);
    open.start = wire_get_blob(body, LIMIT_KEY_BYTES_CAP, &open.start_bytes);
    open.end = wire_get_blob(body, LIMIT_KEY_BYTES_CAP, &open.end_bytes);
    open.after = wire_get_blob(body, LIMIT_KEY_BYTES_CAP, &open.after_bytes);
    if (finished(body) || open.flags > SCAN_FLAGS_MAX)
        return -EPROTO;
    *ret_open = open;
    return 0;
}

void scan_next_encode(struct buffer *into, const struct scan_next *next)
{
    into->length = 0;
    wire_put_u64(into, next->scan);
    wire_put_u32(into, next->part);
}

int scan_next_decode(struct wire_reader *body, struct scan_next *ret_next)
{
    ret_next->scan = wire_get_u64(body);
    ret_next->part = wire_get_u32(body);
    return finished(body);
}

void scan_close_encode(struct buffer *into, uint64_t scan)
{
    into->length = 0;
    wire_put_u64(into, scan);
}

int scan_close_decode(struct wire_reader *body, uint64_t *ret_scan)
{
    *ret_scan = wire_get_u64(body);
    return finished(body);
}

/* ---- parts ---- */

#define PART_AT_MORE 26u
#define PART_AT_COUNT 27u

void scan_part_begin(struct buffer *into)
{
    into->length = 0;
    wire_put_u16(into, 0);
    wire_put_u64(into, 0);
    wire_put_u64(into, 0);
    wire_put_u64(into, 0);
    wire_put_u8(into, 0);
    wire_put_u32(into, 0);
}

void scan_part_add(struct buffer *into, const struct scan_record *record)
{
    wire_put_u64(into, record->revision);
    wire_put_blob(into, record->key, record->key_bytes);
    wire_put_blob(into, record->value, record->value_bytes);
    list_count_one(into, PART_AT_COUNT);
}

void scan_part_finish(struct buffer *into, const struct scan_part_head *head)
{
    wire_store_u16(into->bytes, head->status);
    wire_store_u64(into->bytes + 2, head->scan);
    wire_store_u64(into->bytes + 10, head->index);
    wire_store_u64(into->bytes + 18, head->keys);
    into->bytes[PART_AT_MORE] = head->more;
}

static void record_get(struct wire_reader *body, struct scan_record *record)
{
    record->revision = wire_get_u64(body);
    record->key = wire_get_blob(body, LIMIT_KEY_BYTES_CAP, &record->key_bytes);
    record->value = wire_get_blob(body, LIMIT_VALUE_BYTES_CAP, &record->value_bytes);
}

static bool record_step(struct wire_reader *body)
{
    struct scan_record record;
    record_get(body, &record);
    return !body->failed && record.key_bytes > 0;
}

int scan_part_decode(struct wire_reader *body, struct scan_part_head *ret_head,
                     struct message_list *ret_list)
{
    struct scan_part_head head = {0};
    head.status = wire_get_u16(body);
    head.scan = wire_get_u64(body);
    head.index = wire_get_u64(body);
    head.keys = wire_get_u64(body);
    uint8_t more = wire_get_u8(body);
    head.more = more;
    if (head.status > PROTO_STATUS_UNREACHABLE || more > 1 ||
        !list_check(body, record_step, ret_list))
        return -EPROTO;
    *ret_head = head;
    return 0;
}

bool scan_part_next(struct message_list *list, struct scan_record *ret_record)
{
    if (!list_take(list))
        return false;
    record_get(&list->reader, ret_record);
    return true;
}
