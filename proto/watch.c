#include "watch.h"

#include "list.h"
#include "message.h"

#include <errno.h>

#define OK_AT_COUNT 30u

void watch_encode(struct buffer *into, const struct watch *watch)
{
    into->length = 0;
    wire_put_u64(into, watch->from);
    wire_put_u32(into, watch->skip);
    wire_put_u8(into, watch->filter);
    wire_put_u32(into, watch->wait_ms);
    wire_put_u32(into, watch->bytes_soft);
    wire_put_blob(into, watch->key, watch->key_bytes);
}

int watch_decode(struct wire_reader *body, struct watch *ret_watch)
{
    struct watch watch;
    watch.from = wire_get_u64(body);
    watch.skip = wire_get_u32(body);
    watch.filter = wire_get_u8(body);
    watch.wait_ms = wire_get_u32(body);
    watch.bytes_soft = wire_get_u32(body);
    watch.key = wire_get_blob(body, LIMIT_KEY_BYTES_CAP, &watch.key_bytes);
    if (!wire_finished(body) || watch.filter > WATCH_PREFIX)
        return -EPROTO;
    *ret_watch = watch;
    return 0;
}

void watch_ok_begin(struct buffer *into)
{
    into->length = 0;
    wire_put_u16(into, 0);
    wire_put_u64(into, 0);
    wire_put_u64(into, 0);
    wire_put_u64(into, 0);
    wire_put_u32(into, 0);
    wire_put_u32(into, 0);
}

void watch_ok_add(struct buffer *into, const struct watch_change *change)
{
    wire_put_u64(into, change->index);
    wire_put_u32(into, change->ordinal);
    wire_put_u8(into, change->kind);
    wire_put_blob(into, change->key, change->key_bytes);
    wire_put_blob(into, change->value, change->value_bytes);
    list_count_one(into, OK_AT_COUNT);
}

void watch_ok_finish(struct buffer *into, const struct watch_head *head)
{
    wire_store_u16(into->bytes, head->status);
    wire_store_u64(into->bytes + 2, head->oldest);
    wire_store_u64(into->bytes + 10, head->applied);
    wire_store_u64(into->bytes + 18, head->next);
    wire_store_u32(into->bytes + 26, head->next_skip);
}

static void change_get(struct wire_reader *body, struct watch_change *change)
{
    change->index = wire_get_u64(body);
    change->ordinal = wire_get_u32(body);
    change->kind = wire_get_u8(body);
    change->key = wire_get_blob(body, LIMIT_KEY_BYTES_CAP, &change->key_bytes);
    change->value = wire_get_blob(body, LIMIT_VALUE_BYTES_CAP, &change->value_bytes);
}

static bool change_step(struct wire_reader *body)
{
    struct watch_change change;
    change_get(body, &change);
    return !body->failed && change.key_bytes > 0 &&
           (change.kind == WATCH_PUT || (change.kind == WATCH_DELETE && !change.value_bytes));
}

int watch_ok_decode(struct wire_reader *body, struct watch_head *ret_head,
                    struct message_list *ret_list)
{
    struct watch_head head;
    head.status = wire_get_u16(body);
    head.oldest = wire_get_u64(body);
    head.applied = wire_get_u64(body);
    head.next = wire_get_u64(body);
    head.next_skip = wire_get_u32(body);
    if (head.status > PROTO_STATUS_UNREACHABLE || !list_check(body, change_step, ret_list))
        return -EPROTO;
    *ret_head = head;
    return 0;
}

bool watch_ok_next(struct message_list *list, struct watch_change *ret_change)
{
    if (!list_take(list))
        return false;
    change_get(&list->reader, ret_change);
    return true;
}
