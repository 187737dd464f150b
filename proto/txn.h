/* Transactions: a command like those of command.h, and its result.
 *
 *   command:   u8 COMMAND_TXN, u32 most bytes of the result, 3 lists: compares, operations if all
 * of them hold, operations if not compares:    u32 count, count x { u8 kind, u64 revision, blob
 * key, blob value } operations:  u32 count, count x { u8 kind, blob key, blob value } result: u16
 * status, u64 index, u8 succeeded, u32 count, count x { u8 kind, u64 revision, u8 existed, blob
 * key, blob value }
 *
 * The operations of one list are carried out in order, each seeing what those before it did; all of
 * them, or none. The result has one entry for each: of a get the record as it found it (existed: it
 * did), of the others the key's revision behind it and whether it was there before.
 *
 * Statuses: OK (whether it succeeded or not), TOO_LARGE (the gets would give more than the command
 * allows: nothing was changed), BAD_REQUEST. */
#pragma once

#include "buffer.h"
#include "command.h"
#include "limits.h"
#include "wire.h"

#include <stdbool.h>
#include <stdint.h>

enum txn_compare_kind {
    TXN_EXISTS = 1,
    TXN_ABSENT = 2,
    TXN_REVISION = 3, /* the key's is `revision`; 0: it is absent */
    TXN_VALUE = 4,    /* the key is there with `value` */
};

struct txn_compare {
    uint8_t kind;
    uint64_t revision;
    const uint8_t *key, *value;
    size_t key_bytes, value_bytes;
};

enum txn_operation_kind { TXN_PUT = 1, TXN_DELETE = 2, TXN_GET = 3 };

struct txn_operation {
    uint8_t kind;
    const uint8_t *key, *value;
    size_t key_bytes, value_bytes;
};

/* Any longer is no command. */
#define TXN_BYTES_MAX (LIMIT_VALUE_BYTES_CAP + 4096u)
#define TXN_RESULT_BYTES_MAX (LIMIT_VALUE_BYTES_CAP + 4096u)

/* Bytes in front of, and for each, besides its key and value. */
#define TXN_HEAD_BYTES 17u
#define TXN_COMPARE_BYTES 17u
#define TXN_OPERATION_BYTES 9u
#define TXN_RESULT_HEAD_BYTES 15u
#define TXN_RESULT_RECORD_BYTES 18u

struct txn_lists {
    const struct txn_compare *compares;
    const struct txn_operation *thens, *elses;
    uint32_t compares_count, thens_count, elses_count;
    uint32_t result_bytes_max;
};
void txn_encode(struct buffer *into, const struct txn_lists *lists);

/* One of the lists inside a command; it was checked. */
struct txn_list {
    struct wire_reader reader;
    uint32_t left;
};
struct txn {
    uint32_t result_bytes_max;
    struct txn_list compares, thens, elses;
};
/* Whether these bytes are meant as a transaction. */
bool txn_is_meant(const uint8_t *bytes, size_t length);
/* 0 or -EPROTO; what is given out points into `bytes`. */
int txn_decode(const uint8_t *bytes, size_t length, struct txn *ret_txn);
bool txn_compare_next(struct txn_list *list, struct txn_compare *ret_compare);
bool txn_operation_next(struct txn_list *list, struct txn_operation *ret_operation);

struct txn_result_head {
    uint16_t status;
    uint64_t index;
    bool succeeded;
};
struct txn_result_record {
    uint8_t kind;
    uint64_t revision;
    bool existed;
    const uint8_t *key, *value; /* of gets; else empty */
    size_t key_bytes, value_bytes;
};
void txn_result_begin(struct buffer *into, const struct txn_result_head *head);
void txn_result_add(struct buffer *into, const struct txn_result_record *record);
int txn_result_decode(const uint8_t *bytes, size_t length, struct txn_result_head *ret_head,
                      struct txn_list *ret_list);
bool txn_result_next(struct txn_list *list, struct txn_result_record *ret_record);
