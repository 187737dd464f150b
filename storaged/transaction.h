/* Transactions: compares, then one of two lists of operations, in order, as one entry. Owner:
 * storaged.
 *
 * Nothing is changed before everything that can refuse the transaction was looked at. After that
 * only a damaged page can stand in the way, and then the process ends: what is half done is in
 * memory, and no checkpoint is taken of it (store_apply). */
#pragma once

#include "store.h"

/* `bytes` are the entry's. Fills `ret_answer` (proto/txn.h), whatever becomes of it. -EBADMSG. */
int transaction_apply(struct store *store, uint64_t index, struct node_bytes bytes,
                      struct buffer *ret_answer);
