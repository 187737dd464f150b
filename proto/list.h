/* What several messages have inside. Lists: a u32 count that grows as records are added behind it,
 * and a decoder that walks all records before the first is given out. The leader hint. A log entry.
 * Private to the codecs of proto/. */
#pragma once

#include "apply.h"
#include "buffer.h"
#include "limits.h"
#include "propose.h"
#include "wire.h"

#include <stddef.h>

/* Longest blob in any list; the frame bounds it too. */
#define LIST_BLOB_BYTES_MAX (LIMIT_VALUE_BYTES_CAP + 4096u)

typedef bool
list_record_fn(struct wire_reader *reader); /* steps over one record; false if it makes no sense */

static inline void list_count_one(struct buffer *message, size_t count_offset)
{
    uint8_t *at = message->bytes + count_offset;
    wire_store_u32(at, wire_load_u32(at) + 1);
}

/* Reads the count, checks every record with `step` and that nothing follows. */
static inline bool list_check(struct wire_reader *body, list_record_fn *step,
                              struct message_list *ret_list)
{
    uint32_t count = wire_get_u32(body);
    struct message_list list = {.reader = *body, .left = count};
    for (uint32_t i = 0; i < count; i++)
        if (!step(body) || body->failed)
            return false;
    if (!wire_finished(body))
        return false;
    *ret_list = list;
    return true;
}

static inline bool list_take(struct message_list *list)
{
    if (!list->left)
        return false;
    list->left--;
    return true;
}

static inline bool list_step_blob(struct wire_reader *reader)
{
    size_t length;
    return wire_get_blob(reader, LIST_BLOB_BYTES_MAX, &length) != NULL;
}

static inline bool list_next_blob(struct message_list *list, const uint8_t **ret_bytes,
                                  size_t *ret_length)
{
    if (!list_take(list))
        return false;
    *ret_bytes = wire_get_blob(&list->reader, LIST_BLOB_BYTES_MAX, ret_length);
    return true;
}

static inline void hint_put(struct buffer *into, const struct leader_hint *hint)
{
    wire_put_text(into, hint->id);
    wire_put_text(into, hint->raft_address);
    wire_put_text(into, hint->http_url);
}

static inline void hint_get(struct wire_reader *body, struct leader_hint *hint)
{
    wire_get_text(body, hint->id, sizeof(hint->id));
    wire_get_text(body, hint->raft_address, sizeof(hint->raft_address));
    wire_get_text(body, hint->http_url, sizeof(hint->http_url));
}

static inline void entry_put(struct buffer *into, const struct apply_entry *entry)
{
    wire_put_u64(into, entry->term);
    wire_put_u8(into, (uint8_t)entry->kind);
    wire_put_blob(into, entry->data, entry->data_bytes);
}

/* Its kind as it came, which may be none. */
static inline uint8_t entry_get(struct wire_reader *reader, struct apply_entry *entry)
{
    entry->term = wire_get_u64(reader);
    uint8_t kind = wire_get_u8(reader);
    entry->kind = (enum entry_kind)kind;
    entry->data = wire_get_blob(reader, LIST_BLOB_BYTES_MAX, &entry->data_bytes);
    return kind;
}

static inline bool entry_step(struct wire_reader *reader)
{
    struct apply_entry entry;
    uint8_t kind = entry_get(reader, &entry);
    return kind >= ENTRY_COMMAND && kind <= ENTRY_CONFIGURATION;
}
