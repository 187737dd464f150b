/* What the servers under load are asked, each in its own words, and how their answers end. Owner:
 * tests/bench. */
#pragma once

#include "buffer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIALECT_KEY_BYTES 16u
#define DIALECT_VALUE_BYTES_MAX 65536u
#define DIALECT_ANSWER_BYTES_MAX (2u * DIALECT_VALUE_BYTES_MAX) /* a value in base64, and a head   \
                                                                 */

/* STALE: a read that need not be of the newest state, where a server has one; else as GET. */
enum operation { OPERATION_PUT, OPERATION_GET, OPERATION_STALE };

struct dialect {
    const char *name;
    /* Appends the request. */
    void (*request)(struct buffer *into, enum operation operation, const char *key,
                    const char *value, size_t value_bytes);
    /* The length of the answer that begins here, 0 while it is not whole; *ret_good: whether it is
     * the answer of success. */
    size_t (*answer)(const char *bytes, size_t length, bool *ret_good);
};

/* conure, etcd2 (v2 HTTP), etcd3 (v3 JSON gateway), redis. NULL: no such. */
const struct dialect *dialect_of(const char *name);
