#include "writes.h"

#include "httpd.h"
#include "message.h"
#include "queue.h"
#include "routes.h"

#include <stdlib.h>

struct write_batch {
    struct writes *writes;
    struct queue requests; /* in the order of the PROPOSE */
};

struct writes {
    struct httpd *httpd;
    struct queue waiting;
    struct buffer command, propose;
};

struct writes *writes_new(struct httpd *httpd)
{
    struct writes *writes = memory_new_zeroed(1, sizeof(*writes));
    writes->httpd = httpd;
    return writes;
}

void writes_free(struct writes *writes)
{
    buffer_free(&writes->command);
    buffer_free(&writes->propose);
    free(writes);
}

void writes_take(struct writes *writes, struct request *request)
{
    if (!bus_client_is_up(writes->httpd->raftd)) {
        reply_status(request, PROTO_STATUS_UNAVAILABLE);
        return;
    }
    request->state = REQUEST_WAITING;
    MHD_suspend_connection(request->connection);
    queue_push(&writes->waiting, request);
}

/* ---- answers ---- */

static void answer_result(struct request *request, const struct result_record *record,
                          const struct leader_hint *hint)
{
    struct command_result result;
    unsigned status = record->status;
    if (status == PROTO_STATUS_NOT_LEADER) {
        reply_not_leader(request, hint);
        return;
    }
    if (status == PROTO_STATUS_OK &&
        command_result_decode(record->result, record->result_bytes, &result) == 0) {
        if (result.status == PROTO_STATUS_OK)
            reply_done(request, request->method == METHOD_PUT ? result.revision : 0);
        else
            reply_status(request, result.status);
        return;
    }
    reply_status(request, status == PROTO_STATUS_OK ? PROTO_STATUS_UNKNOWN : status);
}

static void batch_end_unknown(struct write_batch *batch, uint16_t status)
{
    for (struct request *request = queue_pop(&batch->requests); request;
         request = queue_pop(&batch->requests))
        reply_status(request, status);
}

static void writes_on_reply(void *context, enum bus_end end, uint16_t type,
                            struct wire_reader *body)
{
    struct write_batch *batch = context;
    struct leader_hint hint;
    struct message_list list;
    if (httpd_is_reply(end, type, PROTO_RESULT) && !result_decode(body, &hint, &list)) {
        struct result_record record;
        while (batch->requests.first && result_next(&list, &record))
            answer_result(queue_pop(&batch->requests), &record, &hint);
    } else if (httpd_is_reply(end, type, PROTO_REFUSED)) {
        batch_end_unknown(batch, PROTO_STATUS_UNAVAILABLE); /* refused unread: nothing was done */
    }
    batch_end_unknown(batch, PROTO_STATUS_UNKNOWN);
    free(batch);
}

/* ---- sending ---- */

static void writes_add(struct writes *writes, const struct request *request)
{
    struct command command = {
        .operation = request->method == METHOD_PUT ? COMMAND_PUT : COMMAND_DELETE,
        .condition = request->condition,
        .revision = request->condition_revision,
        .key = request->key.bytes,
        .key_bytes = request->key.length,
        .value = request->value.bytes,
        .value_bytes = request->value.length,
    };
    writes->command.length = 0;
    command_encode(&writes->command, &command);
    propose_add(&writes->propose, writes->command.bytes, writes->command.length);
}

static void writes_send(struct writes *writes)
{
    struct write_batch *batch = memory_new_zeroed(1, sizeof(*batch));
    batch->writes = writes;
    propose_begin(&writes->propose);
    while (writes->waiting.first && writes->propose.length < LIMIT_BATCH_BYTES_SOFT &&
           propose_count(&writes->propose) < LIMIT_BATCH_RECORDS_MAX) {
        struct request *request = queue_pop(&writes->waiting);
        writes_add(writes, request);
        queue_push(&batch->requests, request);
    }
    uint64_t deadline_ms = loop_now_ms(writes->httpd->loop) + LIMIT_WRITE_MS_MAX;
    if (bus_call(writes->httpd->raftd, PROTO_PROPOSE, &writes->propose, deadline_ms,
                 writes_on_reply, batch)) {
        batch_end_unknown(batch, PROTO_STATUS_UNAVAILABLE); /* not sent: nothing was done */
        free(batch);
    }
}

void writes_flush(struct writes *writes)
{
    if (!writes->waiting.first)
        return;
    if (!bus_client_is_up(writes->httpd->raftd)) {
        for (struct request *request = queue_pop(&writes->waiting); request;
             request = queue_pop(&writes->waiting))
            reply_status(request, PROTO_STATUS_UNAVAILABLE);
        return;
    }
    while (writes->waiting.first && bus_client_has_room(writes->httpd->raftd))
        writes_send(writes);
    buffer_clear(&writes->propose, 2 * LIMIT_BATCH_BYTES_SOFT);
    buffer_clear(&writes->command, LIMIT_BATCH_BYTES_SOFT);
}
