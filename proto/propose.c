#include "propose.h"

#include "list.h"
#include "message.h"

#include <errno.h>

/* ---- PROPOSE ---- */

void propose_begin(struct buffer *into)
{
    into->length = 0;
    wire_put_u32(into, 0);
}

void propose_add(struct buffer *into, const struct propose_record *record)
{
    wire_put_u8(into, record->may_use_reserve);
    wire_put_blob(into, record->command, record->command_bytes);
    list_count_one(into, 0);
}

uint32_t propose_count(const struct buffer *propose)
{
    return propose->length ? wire_load_u32(propose->bytes) : 0;
}

static uint8_t propose_get(struct wire_reader *reader, struct propose_record *record)
{
    uint8_t flag = wire_get_u8(reader);
    record->may_use_reserve = flag;
    record->command = wire_get_blob(reader, LIST_BLOB_BYTES_MAX, &record->command_bytes);
    return flag;
}

static bool propose_step(struct wire_reader *reader)
{
    struct propose_record record;
    return propose_get(reader, &record) <= 1 && record.command != NULL;
}

int propose_decode(struct wire_reader *body, struct message_list *ret_list)
{
    return list_check(body, propose_step, ret_list) ? 0 : -EPROTO;
}

bool propose_next(struct message_list *list, struct propose_record *ret_record)
{
    if (!list_take(list))
        return false;
    (void)propose_get(&list->reader, ret_record);
    return true;
}

/* ---- RESULT: the count stands behind the hint, whose texts tell how long it is ---- */

static size_t result_count_offset(const struct buffer *message)
{
    size_t at = 0;
    for (int i = 0; i < 3; i++)
        at += sizeof(uint32_t) + wire_load_u32(message->bytes + at);
    return at;
}

void result_begin(struct buffer *into, const struct leader_hint *hint)
{
    into->length = 0;
    hint_put(into, hint);
    wire_put_u32(into, 0);
}

void result_add(struct buffer *into, const struct result_record *record)
{
    wire_put_u16(into, record->status);
    wire_put_u64(into, record->index);
    wire_put_blob(into, record->result, record->result_bytes);
    list_count_one(into, result_count_offset(into));
}

static void result_get(struct wire_reader *reader, struct result_record *record)
{
    record->status = wire_get_u16(reader);
    record->index = wire_get_u64(reader);
    record->result = wire_get_blob(reader, LIST_BLOB_BYTES_MAX, &record->result_bytes);
}

static bool result_step(struct wire_reader *reader)
{
    struct result_record record;
    result_get(reader, &record);
    return record.status <= PROTO_STATUS_NO_SPACE;
}

int result_decode(struct wire_reader *body, struct leader_hint *ret_hint,
                  struct message_list *ret_list)
{
    struct leader_hint hint = {""};
    hint_get(body, &hint);
    if (!list_check(body, result_step, ret_list))
        return -EPROTO;
    *ret_hint = hint;
    return 0;
}

bool result_next(struct message_list *list, struct result_record *ret_record)
{
    if (!list_take(list))
        return false;
    result_get(&list->reader, ret_record);
    return true;
}

/* ---- READ_INDEX ---- */

void read_index_ok_encode(struct buffer *into, const struct read_index_reply *reply)
{
    into->length = 0;
    wire_put_u16(into, reply->status);
    wire_put_u64(into, reply->index);
    hint_put(into, &reply->hint);
}

int read_index_ok_decode(struct wire_reader *body, struct read_index_reply *ret_reply)
{
    struct read_index_reply reply = {0};
    reply.status = wire_get_u16(body);
    reply.index = wire_get_u64(body);
    hint_get(body, &reply.hint);
    if (!wire_finished(body) || reply.status > PROTO_STATUS_NO_SPACE)
        return -EPROTO;
    *ret_reply = reply;
    return 0;
}
