#include "snapshot.h"

#include "crc32c.h"
#include "list.h"
#include "message.h"

#include <errno.h>
#include <string.h>

#define PART_AT_CRC 3u
#define PART_AT_COUNT 7u

static void get_hash(struct wire_reader *body, uint8_t hash[16])
{
    const uint8_t *bytes = wire_get_bytes(body, 16);
    if (bytes)
        memcpy(hash, bytes, 16);
}

static int finished(const struct wire_reader *body)
{
    return wire_finished(body) ? 0 : -EPROTO;
}

/* ---- giving ---- */

void snapshot_open_encode(struct buffer *into, uint32_t live_ms)
{
    wire_put_u32(into, live_ms);
}

int snapshot_open_decode(struct wire_reader *body, uint32_t *ret_live_ms)
{
    *ret_live_ms = wire_get_u32(body);
    return finished(body);
}

void snapshot_opened_encode(struct buffer *into, const struct snapshot_opened *opened)
{
    wire_put_u16(into, opened->status);
    wire_put_u64(into, opened->view);
    wire_put_u64(into, opened->index);
    wire_put_u64(into, opened->term);
    wire_put_u64(into, opened->keys);
    wire_put_bytes(into, opened->state_hash, sizeof(opened->state_hash));
    wire_put_blob(into, opened->configuration, opened->configuration_bytes);
}

int snapshot_opened_decode(struct wire_reader *body, struct snapshot_opened *ret_opened)
{
    struct snapshot_opened opened = {0};
    opened.status = wire_get_u16(body);
    opened.view = wire_get_u64(body);
    opened.index = wire_get_u64(body);
    opened.term = wire_get_u64(body);
    opened.keys = wire_get_u64(body);
    get_hash(body, opened.state_hash);
    opened.configuration =
        wire_get_blob(body, LIMIT_CONFIGURATION_BYTES_MAX, &opened.configuration_bytes);
    if (finished(body) || opened.status > PROTO_STATUS_UNREACHABLE)
        return -EPROTO;
    *ret_opened = opened;
    return 0;
}

void snapshot_read_encode(struct buffer *into, const struct snapshot_read *read)
{
    wire_put_u64(into, read->view);
    wire_put_u32(into, read->part);
}

int snapshot_read_decode(struct wire_reader *body, struct snapshot_read *ret_read)
{
    ret_read->view = wire_get_u64(body);
    ret_read->part = wire_get_u32(body);
    return finished(body);
}

void snapshot_close_encode(struct buffer *into, uint64_t view)
{
    wire_put_u64(into, view);
}

int snapshot_close_decode(struct wire_reader *body, uint64_t *ret_view)
{
    *ret_view = wire_get_u64(body);
    return finished(body);
}

/* ---- parts ---- */

void snapshot_part_begin(struct buffer *into)
{
    into->length = 0;
    wire_put_u16(into, 0);
    wire_put_u8(into, 0);
    wire_put_u32(into, 0);
    wire_put_u32(into, 0);
}

void snapshot_part_add(struct buffer *into, uint64_t revision, const void *key, size_t key_bytes,
                       const void *value, size_t value_bytes)
{
    wire_put_u64(into, revision);
    wire_put_blob(into, key, key_bytes);
    wire_put_blob(into, value, value_bytes);
    list_count_one(into, PART_AT_COUNT);
}

void snapshot_part_finish(struct buffer *into, uint16_t status, bool is_last)
{
    wire_store_u16(into->bytes, status);
    into->bytes[2] = is_last;
    wire_store_u32(into->bytes + PART_AT_CRC,
                   crc32c(0, into->bytes + PART_AT_COUNT, into->length - PART_AT_COUNT));
}

int snapshot_part_decode(struct wire_reader *body, uint16_t *ret_status, bool *ret_is_last,
                         struct wire_reader *ret_part)
{
    *ret_status = wire_get_u16(body);
    uint8_t is_last = wire_get_u8(body);
    *ret_is_last = is_last == 1;
    *ret_part = *body;
    return body->failed || is_last > 1 || *ret_status > PROTO_STATUS_UNREACHABLE ? -EPROTO : 0;
}

uint32_t snapshot_part_count(const struct wire_reader *part)
{
    return part->left < 8 ? 0 : wire_load_u32(part->at + 4);
}

void install_part_encode(struct buffer *into, uint32_t part, const struct wire_reader *bytes)
{
    wire_put_u32(into, part);
    wire_put_bytes(into, bytes->at, bytes->left);
}

int install_part_decode(struct wire_reader *body, uint32_t *ret_part)
{
    *ret_part = wire_get_u32(body);
    return body->failed ? -EPROTO : 0;
}

static void record_get(struct wire_reader *body, struct install_record *record)
{
    record->revision = wire_get_u64(body);
    record->key = wire_get_blob(body, LIMIT_KEY_BYTES_CAP, &record->key_bytes);
    record->value = wire_get_blob(body, LIMIT_VALUE_BYTES_CAP, &record->value_bytes);
}

static bool record_step(struct wire_reader *body)
{
    struct install_record record;
    record_get(body, &record);
    return !body->failed && record.key_bytes > 0;
}

int install_records_decode(struct wire_reader *body, struct message_list *ret_list)
{
    uint32_t crc = wire_get_u32(body);
    if (body->failed || crc32c(0, body->at, body->left) != crc)
        return -EBADMSG;
    return list_check(body, record_step, ret_list) ? 0 : -EPROTO;
}

bool install_records_next(struct message_list *list, struct install_record *ret_record)
{
    if (!list_take(list))
        return false;
    record_get(&list->reader, ret_record);
    return true;
}

/* ---- taking ---- */

void install_begin_encode(struct buffer *into, const struct install_begin *begin)
{
    wire_put_u64(into, begin->index);
    wire_put_u64(into, begin->term);
}

int install_begin_decode(struct wire_reader *body, struct install_begin *ret_begin)
{
    ret_begin->index = wire_get_u64(body);
    ret_begin->term = wire_get_u64(body);
    return finished(body);
}

void install_end_encode(struct buffer *into, const struct install_end *end)
{
    wire_put_u64(into, end->index);
    wire_put_u64(into, end->term);
    wire_put_u64(into, end->keys);
    wire_put_bytes(into, end->state_hash, sizeof(end->state_hash));
    wire_put_blob(into, end->configuration, end->configuration_bytes);
}

int install_end_decode(struct wire_reader *body, struct install_end *ret_end)
{
    struct install_end end = {0};
    end.index = wire_get_u64(body);
    end.term = wire_get_u64(body);
    end.keys = wire_get_u64(body);
    get_hash(body, end.state_hash);
    end.configuration =
        wire_get_blob(body, LIMIT_CONFIGURATION_BYTES_MAX, &end.configuration_bytes);
    if (finished(body))
        return -EPROTO;
    *ret_end = end;
    return 0;
}

void install_ok_encode(struct buffer *into, const struct install_reply *reply)
{
    wire_put_u16(into, reply->status);
    wire_put_text(into, reply->reason);
}

int install_ok_decode(struct wire_reader *body, struct install_reply *ret_reply)
{
    struct install_reply reply = {0};
    reply.status = wire_get_u16(body);
    wire_get_text(body, reply.reason, sizeof(reply.reason));
    if (finished(body) || reply.status > PROTO_STATUS_UNREACHABLE)
        return -EPROTO;
    *ret_reply = reply;
    return 0;
}

void snapshot_begin_encode(struct buffer *into, const struct snapshot_begin *begin)
{
    wire_put_u64(into, begin->index);
    wire_put_u64(into, begin->term);
    wire_put_u64(into, begin->leader_term);
}

int snapshot_begin_decode(struct wire_reader *body, struct snapshot_begin *ret_begin)
{
    ret_begin->index = wire_get_u64(body);
    ret_begin->term = wire_get_u64(body);
    ret_begin->leader_term = wire_get_u64(body);
    return finished(body);
}
