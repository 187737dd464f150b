/* POST /txn: a transaction as JSON; the command it becomes (proto/txn.h); its result as JSON.
 *
 *   {"if":[C, ...], "then":[O, ...], "else":[O, ...]}        each of the three may be left out
 *   C: {"key":"k", "exists":true, "revision":R, "value":"v"} one of the three or more must hold;
 *                                                            revision 0: the key is absent
 *   O: {"put":{"key":"k","value":"v"}}, {"delete":{"key":"k"}}, {"get":{"key":"k"}}
 *
 *   {"succeeded":true, "revision":R, "results":[...]}        one for each operation, in order:
 *   {"put":{"revision":R,"existed":false}}, {"delete":{"existed":true}},
 *   {"get":{"key":"k","exists":true,"value":"v","revision":R}}, {"get":{"key":"k","exists":false}}
 *
 * Instead of key and value, key_base64 and value_base64: for bytes that are no valid UTF-8. */
#pragma once

#include "propose.h"
#include "request.h"
#include "txn.h"

/* The route's serve: reads the body, and hands the request to writes. */
void transaction_serve(struct request *request);

/* For writes. */
void transaction_encode_command(const struct transaction *transaction, struct buffer *into);
bool transaction_has_puts(const struct transaction *transaction);
/* The result has no more. */
size_t transaction_result_bytes_max(const struct transaction *transaction);
/* Answers with what storaged said. */
void transaction_answer(struct request *request, const struct result_record *record);

/* The command was sent: frees all but what the answer needs. */
void transaction_drop(struct transaction *transaction);
void transaction_free(struct transaction *transaction);
