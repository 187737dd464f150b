/* Confirmed reads of several rounds go out in one READ, at the highest of their indexes: later than
 * needed for some is still linearizable, as all of them are still waiting.
 *
 * A key that was left out of a full reply (AGAIN) goes back to where it was sent from; its index
 * stays confirmed. */
#include "reads.h"

#include "follower.h"
#include "logger.h"
#include "message.h"
#include "patience.h"
#include "propose.h"
#include "range.h"
#include "read.h"
#include "reply.h"
#include "scans.h"

#include <stdlib.h>

/* Reads confirmed (or stale) and not yet sent, and how they are to be read. */
struct read_outbox {
    struct request_list requests;
    uint64_t index_min;
    uint64_t wait_ms;
    unsigned calls_in_flight;
};

struct reads {
    struct httpd *httpd;
    struct request_list unasked;
    unsigned rounds_in_flight;
    struct read_outbox linearizable, stale;
    struct patience linearizable_patience, stale_patience;
    struct buffer message;
};

/* A READ_INDEX in flight. */
struct read_round {
    struct edge_call call;
    struct reads *reads;
    struct request_list requests; /* by stage */
};

/* A READ in flight. A request that was answered before has left its slot. */
struct read_batch {
    struct edge_call call;
    struct reads *reads;
    struct read_outbox *outbox;
    unsigned count;
    struct request *slots[];
};

/* ---- answers ---- */

static void read_answer_status(struct request *request, unsigned status,
                               const struct leader_hint *hint)
{
    struct problem problem;
    reply_status_problem(status, hint, &problem);
    request_answer_problem(request, &problem);
}

static void read_answer_all(struct request_list *list, unsigned status,
                            const struct leader_hint *hint)
{
    while (!TAILQ_EMPTY(list))
        read_answer_status(TAILQ_FIRST(list), status, hint);
}

static void read_on_impatience(void *context, struct request *request)
{
    (void)context;
    read_answer_status(request, PROTO_STATUS_TIMEOUT, NULL);
}

static void read_answer(struct request *request, const struct read_record *record,
                        uint64_t applied_index, struct read_outbox *outbox)
{
    if (record->status == PROTO_STATUS_AGAIN) {
        if (request->slot)
            *request->slot = NULL;
        request->slot = NULL;
        request_stage(request, &outbox->requests);
        return;
    }
    if (record->status != PROTO_STATUS_OK) {
        read_answer_status(request, record->status, NULL);
        return;
    }
    struct reply_value value = {
        .bytes = record->value,
        .bytes_count = record->value_bytes,
        .revision = record->revision,
        .stale = request->stale,
        .applied_index = applied_index,
    };
    request_answer(request, MHD_HTTP_OK, reply_value(&value));
}

/* ---- READ_INDEX ---- */

void reads_on_read_index(struct edge_call *call, enum edge_end end, struct wire_reader *body)
{
    static struct read_index_reply reply;
    struct read_round *round = (struct read_round *)call;
    struct read_outbox *outbox = &round->reads->linearizable;
    struct request *request;
    round->reads->rounds_in_flight--;
    if (end != EDGE_REPLIED || read_index_ok_decode(body, &reply)) {
        read_answer_all(&round->requests, PROTO_STATUS_UNAVAILABLE, NULL);
    } else if (reply.status == PROTO_STATUS_NOT_LEADER) {
        while ((request = TAILQ_FIRST(&round->requests)))
            follower_answer(request, &reply.hint, outbox->wait_ms);
    } else if (reply.status != PROTO_STATUS_OK) {
        read_answer_all(&round->requests, reply.status, &reply.hint);
    } else {
        if (outbox->index_min < reply.index)
            outbox->index_min = reply.index;
        while ((request = TAILQ_FIRST(&round->requests)))
            if (request->range)
                scans_add(round->reads->httpd->scans, request, reply.index);
            else
                request_stage(request, &outbox->requests);
    }
    free(round);
}

static bool reads_ask(struct reads *reads)
{
    struct read_round *round = memory_new_zeroed(1, sizeof(*round));
    struct request *request;
    uint64_t deadline_ms =
        loop_now_ms(reads->httpd->loop) + reads->linearizable.wait_ms + HTTPD_CALL_SLACK_MS;
    round->reads = reads;
    TAILQ_INIT(&round->requests);
    if (edge_call(reads->httpd, PROTO_READ_INDEX, NULL, deadline_ms, &round->call)) {
        free(round);
        return false;
    }
    reads->rounds_in_flight++;
    while ((request = TAILQ_FIRST(&reads->unasked)))
        request_stage(request, &round->requests);
    return true;
}

/* ---- READ ---- */

static unsigned batch_answer(struct read_batch *batch, struct wire_reader *body)
{
    struct message_list list;
    struct read_record record;
    uint64_t applied_index;
    unsigned answered = 0;
    if (read_ok_decode(body, &applied_index, &list)) {
        logger_error("message_damaged", "type=READ_OK");
        return 0;
    }
    for (; answered < batch->count && read_ok_next(&list, &record); answered++)
        if (batch->slots[answered])
            read_answer(batch->slots[answered], &record, applied_index, batch->outbox);
    return answered;
}

void reads_on_read(struct edge_call *call, enum edge_end end, struct wire_reader *body)
{
    struct read_batch *batch = (struct read_batch *)call;
    batch->outbox->calls_in_flight--;
    unsigned answered = end == EDGE_REPLIED ? batch_answer(batch, body) : 0;
    for (unsigned i = answered; i < batch->count; i++)
        if (batch->slots[i])
            read_answer_status(batch->slots[i], PROTO_STATUS_UNAVAILABLE, NULL);
    free(batch);
}

static unsigned reads_encode(struct reads *reads, const struct read_outbox *outbox)
{
    struct request *request;
    unsigned count = 0;
    read_begin(&reads->message, outbox->index_min, (uint32_t)outbox->wait_ms);
    TAILQ_FOREACH(request, &outbox->requests, by_stage)
    {
        if (count == LIMIT_BATCH_RECORDS_MAX || reads->message.length >= LIMIT_BATCH_BYTES_SOFT)
            break;
        read_add(&reads->message, request->key, request->key_bytes);
        count++;
    }
    return count;
}

static bool reads_send(struct reads *reads, struct read_outbox *outbox)
{
    unsigned count = reads_encode(reads, outbox);
    struct read_batch *batch = memory_new(sizeof(*batch) + count * sizeof(*batch->slots));
    uint64_t deadline_ms = loop_now_ms(reads->httpd->loop) + outbox->wait_ms + HTTPD_CALL_SLACK_MS;
    batch->reads = reads;
    batch->outbox = outbox;
    batch->count = count;
    if (edge_call(reads->httpd, PROTO_READ, &reads->message, deadline_ms, &batch->call)) {
        free(batch);
        return false;
    }
    outbox->calls_in_flight++;
    for (unsigned i = 0; i < count; i++)
        request_take_slot(TAILQ_FIRST(&outbox->requests), &batch->slots[i]);
    return true;
}

static void reads_send_all(struct reads *reads, struct read_outbox *outbox)
{
    while (!TAILQ_EMPTY(&outbox->requests) && outbox->calls_in_flight < HTTPD_READ_CALLS_MAX)
        if (!reads_send(reads, outbox))
            break;
}

void reads_at_turn_end(struct reads *reads)
{
    if (!TAILQ_EMPTY(&reads->unasked) && reads->rounds_in_flight < HTTPD_READ_INDEX_CALLS_MAX)
        (void)reads_ask(reads);
    reads_send_all(reads, &reads->linearizable);
    reads_send_all(reads, &reads->stale);
    buffer_clear(&reads->message, 2 * LIMIT_BATCH_BYTES_SOFT);
}

/* ---- requests ---- */

void reads_add(struct reads *reads, struct request *request)
{
    bool storaged_up = edge_is_up(reads->httpd, EDGE_STORAGED);
    if (!storaged_up || (!request->stale && !edge_is_up(reads->httpd, EDGE_RAFTD))) {
        read_answer_status(request, PROTO_STATUS_UNAVAILABLE, NULL);
        return;
    }
    request_stage(request, request->stale ? &reads->stale.requests : &reads->unasked);
    patience_begin(request->stale ? &reads->stale_patience : &reads->linearizable_patience,
                   request);
}

void reads_on_edge_down(struct reads *reads, enum edge_peer peer)
{
    read_answer_all(&reads->unasked, PROTO_STATUS_UNAVAILABLE, NULL);
    if (peer != EDGE_STORAGED)
        return;
    read_answer_all(&reads->linearizable.requests, PROTO_STATUS_UNAVAILABLE, NULL);
    read_answer_all(&reads->stale.requests, PROTO_STATUS_UNAVAILABLE, NULL);
}

void reads_finish(struct reads *reads)
{
    patience_exhaust(&reads->linearizable_patience);
    patience_exhaust(&reads->stale_patience);
}

struct reads *reads_new(struct httpd *httpd)
{
    struct reads *reads = memory_new_zeroed(1, sizeof(*reads));
    reads->httpd = httpd;
    TAILQ_INIT(&reads->unasked);
    TAILQ_INIT(&reads->linearizable.requests);
    TAILQ_INIT(&reads->stale.requests);
    reads->linearizable.wait_ms = httpd->config->barrier_timeout_ms;
    reads->stale.wait_ms = HTTPD_STALE_READ_MS_MAX;
    patience_init(&reads->linearizable_patience, httpd->loop, reads->linearizable.wait_ms,
                  read_on_impatience, reads);
    patience_init(&reads->stale_patience, httpd->loop, reads->stale.wait_ms, read_on_impatience,
                  reads);
    return reads;
}

void reads_free(struct reads *reads)
{
    buffer_free(&reads->message);
    free(reads);
}
