#include "reads.h"

#include "httpd.h"
#include "message.h"
#include "queue.h"
#include "read.h"

#include <stdlib.h>

/* Requests that travel together: in a round, or in a READ. */
struct read_batch {
    struct reads *reads;
    struct queue requests;
    bool linearizable;
};

struct reads {
    struct httpd *httpd;
    struct queue waiting; /* for a READ_INDEX */
    struct queue ready;   /* for a READ at ready_index */
    uint64_t ready_index; /* the largest of their rounds: right for all of them */
    struct queue stale;
    struct buffer read;
};

struct reads *reads_new(struct httpd *httpd)
{
    struct reads *reads = memory_new_zeroed(1, sizeof(*reads));
    reads->httpd = httpd;
    return reads;
}

void reads_free(struct reads *reads)
{
    buffer_free(&reads->read);
    free(reads);
}

static void answer_all(struct queue *requests, uint16_t status)
{
    for (struct request *request = queue_pop(requests); request; request = queue_pop(requests))
        reply_status(request, status);
}

void reads_take(struct reads *reads, struct request *request)
{
    struct httpd *httpd = reads->httpd;
    if (!bus_client_is_up(httpd->storaged) ||
        (!request->stale && !bus_client_is_up(httpd->raftd))) {
        reply_status(request, PROTO_STATUS_UNAVAILABLE);
        return;
    }
    request->state = REQUEST_WAITING;
    request->deadline_ms = loop_now_ms(httpd->loop) + httpd->config->barrier_timeout_ms;
    MHD_suspend_connection(request->connection);
    queue_push(request->stale ? &reads->stale : &reads->waiting, request);
}

/* ---- READ_INDEX ---- */

static void round_on_reply(void *context, enum bus_end end, uint16_t type, struct wire_reader *body)
{
    struct read_batch *round = context;
    struct reads *reads = round->reads;
    struct read_index_reply reply = {.status = PROTO_STATUS_UNAVAILABLE};
    if (end == BUS_TIMED_OUT)
        reply.status = PROTO_STATUS_TIMEOUT;
    else if (httpd_is_reply(end, type, PROTO_READ_INDEX_OK) && read_index_ok_decode(body, &reply))
        reply.status = PROTO_STATUS_UNAVAILABLE;
    if (reply.status == PROTO_STATUS_OK) {
        if (reply.index > reads->ready_index)
            reads->ready_index = reply.index;
        queue_take_all(&reads->ready, &round->requests);
    }
    for (struct request *request = queue_pop(&round->requests); request;
         request = queue_pop(&round->requests)) {
        if (reply.status == PROTO_STATUS_NOT_LEADER)
            reply_not_leader(request, &reply.hint);
        else
            reply_status(request, reply.status);
    }
    free(round);
}

static void reads_send_round(struct reads *reads)
{
    struct httpd *httpd = reads->httpd;
    if (!bus_client_is_up(httpd->raftd)) {
        answer_all(&reads->waiting, PROTO_STATUS_UNAVAILABLE);
        return;
    }
    if (!bus_client_has_room(httpd->raftd))
        return;
    struct read_batch *round = memory_new_zeroed(1, sizeof(*round));
    round->reads = reads;
    uint64_t deadline_ms = reads->waiting.first->deadline_ms;
    queue_take_all(&round->requests, &reads->waiting);
    if (bus_call(httpd->raftd, PROTO_READ_INDEX, NULL, deadline_ms, round_on_reply, round)) {
        queue_take_all(&reads->waiting, &round->requests);
        free(round);
    }
}

/* ---- READ ---- */

static void answer_record(struct reads *reads, struct request *request,
                          const struct read_record *record, uint64_t applied_index)
{
    if (record->status == PROTO_STATUS_OK)
        reply_value(request, record->value, record->value_bytes, record->revision,
                    request->stale ? applied_index : 0);
    else if (record->status ==
             PROTO_STATUS_AGAIN) /* the index it needs is reached: any READ will do */
        queue_push(request->stale ? &reads->stale : &reads->ready, request);
    else
        reply_status(request, record->status);
}

static void read_on_reply(void *context, enum bus_end end, uint16_t type, struct wire_reader *body)
{
    struct read_batch *batch = context;
    struct message_list list;
    uint64_t applied_index;
    uint16_t status = end == BUS_TIMED_OUT ? PROTO_STATUS_TIMEOUT : PROTO_STATUS_UNAVAILABLE;
    if (httpd_is_reply(end, type, PROTO_READ_OK) && !read_ok_decode(body, &applied_index, &list)) {
        struct read_record record;
        while (batch->requests.first && read_ok_next(&list, &record))
            answer_record(batch->reads, queue_pop(&batch->requests), &record, applied_index);
    }
    answer_all(&batch->requests, status);
    free(batch);
}

/* One READ from the queue; the deadline is that of its first request, which came first. */
static bool reads_send(struct reads *reads, struct queue *queue, uint64_t index_min)
{
    struct httpd *httpd = reads->httpd;
    uint64_t now_ms = loop_now_ms(httpd->loop), deadline_ms = queue->first->deadline_ms;
    uint64_t wait_ms = deadline_ms > now_ms ? deadline_ms - now_ms : 0;
    struct read_batch *batch = memory_new_zeroed(1, sizeof(*batch));
    batch->reads = reads;
    read_begin(&reads->read, index_min, (uint32_t)wait_ms);
    while (queue->first && read_count(&reads->read) < LIMIT_BATCH_RECORDS_MAX &&
           reads->read.length < LIMIT_BATCH_BYTES_SOFT) {
        struct request *request = queue_pop(queue);
        read_add(&reads->read, request->key.bytes, request->key.length);
        queue_push(&batch->requests, request);
    }
    if (!bus_call(httpd->storaged, PROTO_READ, &reads->read, now_ms + wait_ms + HTTPD_READ_GRACE_MS,
                  read_on_reply, batch))
        return true;
    answer_all(&batch->requests, PROTO_STATUS_UNAVAILABLE);
    free(batch);
    return false;
}

static void reads_send_all(struct reads *reads, struct queue *queue, uint64_t index_min)
{
    struct httpd *httpd = reads->httpd;
    if (queue->first && !bus_client_is_up(httpd->storaged))
        answer_all(queue, PROTO_STATUS_UNAVAILABLE);
    while (queue->first && bus_client_has_room(httpd->storaged))
        if (!reads_send(reads, queue, index_min))
            break;
}

void reads_flush(struct reads *reads)
{
    reads_send_all(reads, &reads->stale, 0);
    reads_send_all(reads, &reads->ready, reads->ready_index);
    if (reads->waiting.first)
        reads_send_round(reads);
    buffer_clear(&reads->read, LIMIT_BATCH_BYTES_SOFT);
}
