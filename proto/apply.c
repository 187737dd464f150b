#include "apply.h"

#include "list.h"
#include "message.h"

#include <errno.h>
#include <string.h>

#define APPLY_AT_COUNT 8u
#define APPLIED_AT_COUNT 60u

/* ---- APPLY ---- */

void apply_begin(struct buffer *into, uint64_t first_index)
{
    into->length = 0;
    wire_put_u64(into, first_index);
    wire_put_u32(into, 0);
}

void apply_add(struct buffer *into, const struct apply_entry *entry)
{
    entry_put(into, entry);
    list_count_one(into, APPLY_AT_COUNT);
}

uint32_t apply_count(const struct buffer *apply)
{
    return apply->length ? wire_load_u32(apply->bytes + APPLY_AT_COUNT) : 0;
}

int apply_decode(struct wire_reader *body, uint64_t *ret_first_index, struct message_list *ret_list)
{
    uint64_t first_index = wire_get_u64(body);
    if (first_index == 0 || !list_check(body, entry_step, ret_list))
        return -EPROTO;
    *ret_first_index = first_index;
    return 0;
}

bool apply_next(struct message_list *list, struct apply_entry *ret_entry)
{
    if (!list_take(list))
        return false;
    (void)entry_get(&list->reader, ret_entry);
    return true;
}

/* ---- APPLIED ---- */

void applied_begin(struct buffer *into)
{
    static const uint8_t head[APPLIED_AT_COUNT];
    into->length = 0;
    wire_put_bytes(into, head, sizeof(head));
    wire_put_u32(into, 0);
}

void applied_add(struct buffer *into, const void *result, size_t result_bytes)
{
    wire_put_blob(into, result, result_bytes);
    list_count_one(into, APPLIED_AT_COUNT);
}

void applied_finish(struct buffer *into, const struct applied_head *head)
{
    wire_store_u16(into->bytes, head->status);
    wire_store_u64(into->bytes + 2, head->applied_index);
    wire_store_u64(into->bytes + 10, head->durable_index);
    wire_store_u16(into->bytes + 18, head->health);
    memcpy(into->bytes + 20, head->state_hash, sizeof(head->state_hash));
    wire_store_u64(into->bytes + 36, head->mark_index);
    memcpy(into->bytes + 44, head->mark_hash, sizeof(head->mark_hash));
}

static void get_hash(struct wire_reader *body, uint8_t hash[16])
{
    const uint8_t *bytes = wire_get_bytes(body, 16);
    if (bytes)
        memcpy(hash, bytes, 16);
}

int applied_decode(struct wire_reader *body, struct applied_head *ret_head,
                   struct message_list *ret_list)
{
    struct applied_head head = {0};
    head.status = wire_get_u16(body);
    head.applied_index = wire_get_u64(body);
    head.durable_index = wire_get_u64(body);
    head.health = wire_get_u16(body);
    get_hash(body, head.state_hash);
    head.mark_index = wire_get_u64(body);
    get_hash(body, head.mark_hash);
    if (head.status > PROTO_STATUS_NO_SPACE || head.durable_index > head.applied_index ||
        head.health > PROTO_STATUS_NO_SPACE || !list_check(body, list_step_blob, ret_list))
        return -EPROTO;
    *ret_head = head;
    return 0;
}

bool applied_next(struct message_list *list, const uint8_t **ret_result, size_t *ret_result_bytes)
{
    return list_next_blob(list, ret_result, ret_result_bytes);
}
