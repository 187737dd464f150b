/* How much the gets will give must be known before the first put: of a key that is written before
 * it is read, what is written last before that counts. Which key was written where is kept in an
 * open hash table. */
#include "transaction.h"

#include "buffer.h"
#include "message.h"
#include "store_private.h"
#include "txn.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static struct node_bytes key_of(const struct txn_operation *operation)
{
    return (struct node_bytes){operation->key, operation->key_bytes};
}

/* ---- compares ---- */

static bool value_is(const struct tree_record *record, const struct txn_compare *compare)
{
    return record->value.length == compare->value_bytes &&
           (compare->value_bytes == 0 ||
            !memcmp(record->value.bytes, compare->value, compare->value_bytes));
}

static int compare_holds(struct store *store, const struct txn_compare *compare, bool *ret_holds)
{
    struct node_bytes key = {compare->key, compare->key_bytes};
    struct tree_record record;
    int code = compare->kind == TXN_VALUE ? store_get(store, key, &record)
                                          : store_peek(store, key, &record);
    if (code < 0)
        return code;
    bool exists = code != STORE_NOT_FOUND;
    switch (compare->kind) {
    case TXN_EXISTS:
        *ret_holds = exists;
        break;
    case TXN_ABSENT:
        *ret_holds = !exists;
        break;
    case TXN_REVISION:
        *ret_holds = (exists ? record.revision : 0) == compare->revision;
        break;
    default:
        *ret_holds = exists && value_is(&record, compare);
    }
    return 0;
}

static int compares_hold(struct store *store, struct txn_list list, bool *ret_hold)
{
    struct txn_compare compare;
    *ret_hold = true;
    while (*ret_hold && txn_compare_next(&list, &compare)) {
        int code = compare_holds(store, &compare, ret_hold);
        if (code)
            return code;
    }
    return 0;
}

/* ---- how large the result will be ---- */

#define TABLE_PLACES (2 * LIMIT_TXN_OPERATIONS_MAX)
_Static_assert((TABLE_PLACES & (TABLE_PLACES - 1)) == 0, "a place is a hash's lowest bits");

/* The last write of each key so far; free where the key is NULL. */
struct written {
    struct txn_operation places[TABLE_PLACES];
};

static struct txn_operation *written_place(struct written *written,
                                           const struct txn_operation *operation)
{
    uint64_t hash = XXH3_64bits(operation->key, operation->key_bytes);
    for (;; hash++) {
        struct txn_operation *place = &written->places[hash % TABLE_PLACES];
        if (!place->key || !node_compare(key_of(place), key_of(operation)))
            return place; /* there are twice as many as operations */
    }
}

/* What a get finds: 0, STORE_NOT_FOUND, or -EBADMSG. */
static int measure_get(struct store *store, struct written *written,
                       const struct txn_operation *operation, uint64_t *ret_value_bytes)
{
    const struct txn_operation *before = written_place(written, operation);
    struct tree_record record;
    *ret_value_bytes = 0;
    if (before->key) {
        *ret_value_bytes = before->value_bytes;
        return 0;
    }
    int code = store_peek(store, key_of(operation), &record);
    if (!code)
        *ret_value_bytes = record.value.length;
    return code < 0 ? code : 0;
}

static int measure(struct store *store, struct txn_list list, uint64_t *ret_bytes)
{
    struct written *written = memory_new_zeroed(1, sizeof(*written));
    struct txn_operation operation;
    uint64_t bytes = TXN_RESULT_HEAD_BYTES, value_bytes;
    int code = 0;
    while (!code && txn_operation_next(&list, &operation)) {
        bytes += TXN_RESULT_RECORD_BYTES;
        if (operation.kind != TXN_GET) {
            *written_place(written, &operation) = operation;
            continue;
        }
        code = measure_get(store, written, &operation, &value_bytes);
        bytes += operation.key_bytes + value_bytes;
    }
    free(written);
    *ret_bytes = bytes;
    return code;
}

/* ---- operations ---- */

static int apply_get(struct store *store, const struct txn_operation *operation,
                     struct buffer *answer)
{
    struct txn_result_record result = {
        .kind = TXN_GET, .key = operation->key, .key_bytes = operation->key_bytes};
    struct tree_record record;
    int code = store_get(store, key_of(operation), &record);
    if (code < 0)
        return code;
    if (code != STORE_NOT_FOUND) {
        result.existed = true;
        result.revision = record.revision;
        result.value = record.value.bytes;
        result.value_bytes = record.value.length;
    }
    txn_result_add(answer, &result);
    return 0;
}

static int apply_write(struct store *store, const struct txn_operation *operation, uint64_t index,
                       struct buffer *answer)
{
    struct command command = {
        .operation = operation->kind == TXN_PUT ? COMMAND_PUT : COMMAND_DELETE,
        .key = operation->key,
        .key_bytes = operation->key_bytes,
        .value = operation->value,
        .value_bytes = operation->value_bytes,
    };
    struct command_result result;
    int code = store_apply_command(store, &command, index, &result);
    if (code)
        return code;
    struct txn_result_record record = {
        .kind = operation->kind, .revision = result.revision, .existed = result.existed};
    txn_result_add(answer, &record);
    return 0;
}

static int apply_all(struct store *store, struct txn_list list, uint64_t index,
                     struct buffer *answer)
{
    struct txn_operation operation;
    int code = 0;
    while (!code && txn_operation_next(&list, &operation))
        code = operation.kind == TXN_GET ? apply_get(store, &operation, answer)
                                         : apply_write(store, &operation, index, answer);
    return code;
}

int transaction_apply(struct store *store, uint64_t index, struct node_bytes bytes,
                      struct buffer *ret_answer)
{
    struct txn_result_head head = {.status = PROTO_STATUS_BAD_REQUEST, .index = index};
    struct txn txn;
    uint64_t result_bytes = 0;
    txn_result_begin(ret_answer, &head);
    if (txn_decode(bytes.bytes, bytes.length, &txn))
        return 0; /* an entry like any other: every node refuses it alike */
    int code = compares_hold(store, txn.compares, &head.succeeded);
    struct txn_list list = head.succeeded ? txn.thens : txn.elses;
    if (!code)
        code = measure(store, list, &result_bytes);
    if (code)
        return code;
    bool fits = result_bytes <= txn.result_bytes_max;
    head.status = fits ? PROTO_STATUS_OK : PROTO_STATUS_TOO_LARGE;
    txn_result_begin(ret_answer, &head);
    return fits ? apply_all(store, list, index, ret_answer) : 0;
}
