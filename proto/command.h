/* Commands and their results: what httpd writes, raftd carries unread, and storaged applies.
 *
 *   command: u8 operation, u8 condition, u64 revision, blob key, blob value
 *   result:  u16 status, u64 revision, u8 existed
 *
 * Applying is a pure function of state, index and command (invariant 4); nothing of a command
 * depends on the node or the time. */
#pragma once

#include "buffer.h"
#include "wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum command_operation {
    COMMAND_PUT = 1,
    COMMAND_DELETE = 2,
    COMMAND_TXN = 3, /* another body: txn.h */
};

enum command_condition {
    COMMAND_ALWAYS = 0,
    COMMAND_IF_REVISION = 1, /* the key exists with `revision` */
    COMMAND_IF_ABSENT = 2,
    COMMAND_IF_PRESENT = 3,
};

struct command {
    enum command_operation operation;
    enum command_condition condition;
    uint64_t revision;
    const uint8_t *key;
    size_t key_bytes; /* 1 .. LIMIT_KEY_BYTES_CAP */
    const uint8_t *value;
    size_t value_bytes; /* .. LIMIT_VALUE_BYTES_CAP; 0 for a delete */
};

struct command_result {
    uint16_t status;   /* PROTO_STATUS_OK, CONDITION_FAILED, TOO_LARGE, BAD_REQUEST, NO_SPACE */
    uint64_t revision; /* of the key after the command; 0 if it is absent */
    bool existed;      /* before the command */
};

void command_encode(struct buffer *into, const struct command *command);
/* 0 or -EPROTO. Keys and values point into `bytes`. */
int command_decode(const uint8_t *bytes, size_t length, struct command *ret_command);

#define COMMAND_RESULT_BYTES 11u
void command_result_encode(struct buffer *into, const struct command_result *result);
int command_result_decode(const uint8_t *bytes, size_t length, struct command_result *ret_result);
