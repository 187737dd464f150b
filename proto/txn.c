#include "txn.h"

#include "message.h"

#include <errno.h>

#define RESULT_AT_COUNT 11u

/* ---- command ---- */

static void compare_put(struct buffer *into, const struct txn_compare *compare)
{
    wire_put_u8(into, compare->kind);
    wire_put_u64(into, compare->revision);
    wire_put_blob(into, compare->key, compare->key_bytes);
    wire_put_blob(into, compare->value, compare->value_bytes);
}

static void operations_put(struct buffer *into, const struct txn_operation *operations,
                           uint32_t count)
{
    wire_put_u32(into, count);
    for (uint32_t i = 0; i < count; i++) {
        wire_put_u8(into, operations[i].kind);
        wire_put_blob(into, operations[i].key, operations[i].key_bytes);
        wire_put_blob(into, operations[i].value, operations[i].value_bytes);
    }
}

void txn_encode(struct buffer *into, const struct txn_lists *lists)
{
    wire_put_u8(into, COMMAND_TXN);
    wire_put_u32(into, lists->result_bytes_max);
    wire_put_u32(into, lists->compares_count);
    for (uint32_t i = 0; i < lists->compares_count; i++)
        compare_put(into, &lists->compares[i]);
    operations_put(into, lists->thens, lists->thens_count);
    operations_put(into, lists->elses, lists->elses_count);
}

bool txn_is_meant(const uint8_t *bytes, size_t length)
{
    return length > 0 && bytes[0] == COMMAND_TXN;
}

static bool compare_get(struct wire_reader *reader, struct txn_compare *compare)
{
    compare->kind = wire_get_u8(reader);
    compare->revision = wire_get_u64(reader);
    compare->key = wire_get_blob(reader, LIMIT_KEY_BYTES_CAP, &compare->key_bytes);
    compare->value = wire_get_blob(reader, LIMIT_VALUE_BYTES_CAP, &compare->value_bytes);
    return !reader->failed && compare->kind >= TXN_EXISTS && compare->kind <= TXN_VALUE &&
           compare->key_bytes > 0 && (compare->kind == TXN_VALUE || compare->value_bytes == 0) &&
           (compare->kind == TXN_REVISION || compare->revision == 0);
}

static bool operation_get(struct wire_reader *reader, struct txn_operation *operation)
{
    operation->kind = wire_get_u8(reader);
    operation->key = wire_get_blob(reader, LIMIT_KEY_BYTES_CAP, &operation->key_bytes);
    operation->value = wire_get_blob(reader, LIMIT_VALUE_BYTES_CAP, &operation->value_bytes);
    return !reader->failed && operation->kind >= TXN_PUT && operation->kind <= TXN_GET &&
           operation->key_bytes > 0 && (operation->kind == TXN_PUT || operation->value_bytes == 0);
}

static bool list_begin(struct wire_reader *reader, struct txn_list *ret_list)
{
    uint32_t count = wire_get_u32(reader);
    *ret_list = (struct txn_list){.reader = *reader, .left = count};
    return !reader->failed && count <= LIMIT_TXN_OPERATIONS_MAX;
}

static bool compares_step(struct wire_reader *reader, struct txn_list *ret_list)
{
    struct txn_compare compare;
    if (!list_begin(reader, ret_list))
        return false;
    for (uint32_t i = 0; i < ret_list->left; i++)
        if (!compare_get(reader, &compare))
            return false;
    return true;
}

static bool operations_step(struct wire_reader *reader, struct txn_list *ret_list)
{
    struct txn_operation operation;
    if (!list_begin(reader, ret_list))
        return false;
    for (uint32_t i = 0; i < ret_list->left; i++)
        if (!operation_get(reader, &operation))
            return false;
    return true;
}

int txn_decode(const uint8_t *bytes, size_t length, struct txn *ret_txn)
{
    struct wire_reader reader = wire_reader_of(bytes, length);
    struct txn txn;
    bool is_txn = length <= TXN_BYTES_MAX && wire_get_u8(&reader) == COMMAND_TXN;
    txn.result_bytes_max = wire_get_u32(&reader);
    if (!is_txn || txn.result_bytes_max > TXN_RESULT_BYTES_MAX ||
        !compares_step(&reader, &txn.compares) || !operations_step(&reader, &txn.thens) ||
        !operations_step(&reader, &txn.elses) || !wire_finished(&reader))
        return -EPROTO;
    *ret_txn = txn;
    return 0;
}

static bool list_take(struct txn_list *list)
{
    if (!list->left)
        return false;
    list->left--;
    return true;
}

bool txn_compare_next(struct txn_list *list, struct txn_compare *ret_compare)
{
    return list_take(list) && compare_get(&list->reader, ret_compare);
}

bool txn_operation_next(struct txn_list *list, struct txn_operation *ret_operation)
{
    return list_take(list) && operation_get(&list->reader, ret_operation);
}

/* ---- result ---- */

void txn_result_begin(struct buffer *into, const struct txn_result_head *head)
{
    into->length = 0;
    wire_put_u16(into, head->status);
    wire_put_u64(into, head->index);
    wire_put_u8(into, head->succeeded);
    wire_put_u32(into, 0);
}

void txn_result_add(struct buffer *into, const struct txn_result_record *record)
{
    wire_put_u8(into, record->kind);
    wire_put_u64(into, record->revision);
    wire_put_u8(into, record->existed);
    wire_put_blob(into, record->key, record->key_bytes);
    wire_put_blob(into, record->value, record->value_bytes);
    wire_store_u32(into->bytes + RESULT_AT_COUNT, wire_load_u32(into->bytes + RESULT_AT_COUNT) + 1);
}

static bool record_get(struct wire_reader *reader, struct txn_result_record *record)
{
    record->kind = wire_get_u8(reader);
    record->revision = wire_get_u64(reader);
    uint8_t existed = wire_get_u8(reader);
    record->existed = existed;
    record->key = wire_get_blob(reader, LIMIT_KEY_BYTES_CAP, &record->key_bytes);
    record->value = wire_get_blob(reader, LIMIT_VALUE_BYTES_CAP, &record->value_bytes);
    return !reader->failed && existed <= 1 && record->kind >= TXN_PUT && record->kind <= TXN_GET;
}

int txn_result_decode(const uint8_t *bytes, size_t length, struct txn_result_head *ret_head,
                      struct txn_list *ret_list)
{
    struct wire_reader reader = wire_reader_of(bytes, length);
    struct txn_result_head head;
    struct txn_result_record record;
    struct txn_list list;
    head.status = wire_get_u16(&reader);
    head.index = wire_get_u64(&reader);
    uint8_t succeeded = wire_get_u8(&reader);
    head.succeeded = succeeded;
    if (!list_begin(&reader, &list) || succeeded > 1 || head.status > PROTO_STATUS_UNREACHABLE)
        return -EPROTO;
    for (uint32_t i = 0; i < list.left; i++)
        if (!record_get(&reader, &record))
            return -EPROTO;
    if (!wire_finished(&reader))
        return -EPROTO;
    *ret_head = head;
    *ret_list = list;
    return 0;
}

bool txn_result_next(struct txn_list *list, struct txn_result_record *ret_record)
{
    return list_take(list) && record_get(&list->reader, ret_record);
}
