/* What of the store transactions need besides store.h; for store.c and transaction.c. */
#pragma once

#include "store.h"

/* Applies one command as part of the entry `index`. -EBADMSG. */
int store_apply_command(struct store *store, const struct command *command, uint64_t index,
                        struct command_result *result);
/* The record without its value: its length is there, its bytes are not. STORE_NOT_FOUND, -EBADMSG.
 */
int store_peek(struct store *store, struct node_bytes key, struct tree_record *ret_record);
