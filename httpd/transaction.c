#include "transaction.h"

#include "dispatch.h"
#include "message.h"
#include "reply.h"
#include "text.h"
#include "transaction_read.h"
#include "writes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the request ---- */

/* The body is decoded in its place, unless it may have to be passed on as it came. */
static int transaction_make(struct request *request, struct problem *problem)
{
    const struct config *config = request->httpd->config;
    struct transaction *transaction = memory_new_zeroed(1, sizeof(*transaction));
    struct transaction_limits limits = {.key_bytes_max = config->key_bytes_max,
                                        .value_bytes_max = config->value_bytes_max};
    struct buffer *body = &request->body;
    request->transaction = transaction;
    if (request->httpd->proxy) {
        if (!request_reserve(request, body->length))
            return problem_set_unavailable(problem, "overloaded; nothing was done");
        body = &transaction->body;
        buffer_append(body, request->body.bytes, request->body.length);
    }
    return transaction_read(body->bytes, body->length, &limits, transaction, problem);
}

void transaction_serve(struct request *request)
{
    struct problem problem;
    if (transaction_make(request, &problem))
        request_answer_problem(request, &problem);
    else
        writes_add(request->httpd->writes, request);
}

void transaction_encode_command(const struct transaction *transaction, struct buffer *into)
{
    txn_encode(into, &transaction->lists);
}

bool transaction_has_puts(const struct transaction *transaction)
{
    return transaction->has_puts;
}

size_t transaction_result_bytes_max(const struct transaction *transaction)
{
    return transaction->lists.result_bytes_max;
}

/* ---- the answer ---- */

__attribute__((format(printf, 2, 3))) static void append(struct buffer *into, const char *format,
                                                         ...)
{
    char text[128];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    buffer_append(into, text, (size_t)length);
}

static const char *bool_text(bool yes)
{
    return yes ? "true" : "false";
}

static void append_get(struct buffer *into, const struct txn_result_record *record)
{
    append(into, "{\"get\":{");
    json_append_bytes(into, "key", record->key, record->key_bytes);
    append(into, ",\"exists\":%s", bool_text(record->existed));
    if (record->existed) {
        append(into, ",");
        json_append_bytes(into, "value", record->value, record->value_bytes);
        append(into, ",\"revision\":%llu", (unsigned long long)record->revision);
    }
    append(into, "}}");
}

static void append_result(struct buffer *into, const struct txn_result_record *record)
{
    if (record->kind == TXN_GET)
        append_get(into, record);
    else if (record->kind == TXN_PUT)
        append(into, "{\"put\":{\"revision\":%llu,\"existed\":%s}}",
               (unsigned long long)record->revision, bool_text(record->existed));
    else
        append(into, "{\"delete\":{\"existed\":%s}}", bool_text(record->existed));
}

static void answer_results(struct request *request, const struct txn_result_head *head,
                           struct txn_list list)
{
    struct buffer body = {0};
    struct txn_result_record record;
    append(&body, "{\"succeeded\":%s,\"revision\":%llu,\"results\":[", bool_text(head->succeeded),
           (unsigned long long)head->index);
    for (bool is_first = true; txn_result_next(&list, &record); is_first = false) {
        if (!is_first)
            append(&body, ",");
        append_result(&body, &record);
    }
    append(&body, "]}\n");
    request_answer(request, MHD_HTTP_OK, reply_transaction(&body, head->index));
}

void transaction_answer(struct request *request, const struct result_record *record)
{
    struct txn_result_head head;
    struct txn_list list;
    struct problem problem;
    if (txn_result_decode(record->result, record->result_bytes, &head, &list))
        head.status = PROTO_STATUS_UNKNOWN;
    if (head.status == PROTO_STATUS_OK) {
        answer_results(request, &head, list);
        return;
    }
    reply_status_problem(head.status, NULL, &problem);
    if (head.status == PROTO_STATUS_TOO_LARGE)
        problem_set(&problem, MHD_HTTP_CONTENT_TOO_LARGE,
                    "what the gets return is too large; nothing was changed");
    request_answer_problem(request, &problem);
}

/* ---- life ---- */

void transaction_drop(struct transaction *transaction)
{
    buffer_free(&transaction->body);
    buffer_free(&transaction->compares);
    buffer_free(&transaction->thens);
    buffer_free(&transaction->elses);
    transaction->lists =
        (struct txn_lists){.result_bytes_max = transaction->lists.result_bytes_max};
}

void transaction_free(struct transaction *transaction)
{
    if (transaction)
        transaction_drop(transaction);
    free(transaction);
}
