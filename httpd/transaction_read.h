/* The JSON of a transaction (transaction.h), read strictly: what is wrong is named with its place.
 */
#pragma once

#include "buffer.h"
#include "problem.h"
#include "txn.h"

struct transaction {
    struct buffer body;         /* a copy, if the request's must stay as it is */
    struct buffer compares;     /* of struct txn_compare */
    struct buffer thens, elses; /* of struct txn_operation */
    struct txn_lists lists;     /* the same; its bytes lie in the body */
    bool has_puts;
};

struct transaction_limits {
    size_t key_bytes_max, value_bytes_max;
};

/* Decodes in `body`, which must live as long as the lists are used. 0, or the status in `problem`;
 * to be freed either way (transaction_drop). */
int transaction_read(uint8_t *body, size_t body_bytes, const struct transaction_limits *limits,
                     struct transaction *ret_transaction, struct problem *problem);
