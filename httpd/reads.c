/* Confirmed reads of several rounds go out in one READ, at the highest of their indexes: later than
 * needed for some is still linearizable, as all of them are still waiting.
 *
 * While no write is under way the READ goes out beside its READ_INDEX and not behind it. What it
 * found counts if storaged had applied that index by then: the state of an index or later, seen
 * while the request waited, is all that linearizable asks for. If it had not, the keys are read
 * again, now at that index.
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
#include "writes.h"

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
    bool leads; /* the last round was confirmed */
    struct read_outbox linearizable, stale;
    struct patience linearizable_patience, stale_patience;
    struct buffer message;
};

/* A READ_INDEX in flight. */
struct read_round {
    struct edge_call call;
    struct reads *reads;
    struct request_list requests; /* by stage; those in `ahead` are not among them */
    struct read_batch *ahead;     /* the READ sent beside it, or NULL */
};

/* A READ in flight. A request that was answered before has left its slot. */
struct read_batch {
    struct edge_call call;
    struct reads *reads;
    struct read_outbox *outbox;
    struct read_round *round; /* whose word is waited for, or NULL */
    struct buffer found;      /* meanwhile: the body of its reply */
    bool has_ended;
    uint64_t index_min; /* what was read before this index does not count */
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

static void read_again(struct request *request, struct read_outbox *outbox)
{
    if (request->slot)
        *request->slot = NULL;
    request->slot = NULL;
    request_stage(request, &outbox->requests);
}

static void read_answer(struct request *request, const struct read_record *record,
                        uint64_t applied_index, struct read_outbox *outbox)
{
    if (record->status == PROTO_STATUS_AGAIN) {
        read_again(request, outbox);
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

/* ---- READ's answer ---- */

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
    bool counts = applied_index >= batch->index_min;
    for (; answered < batch->count && read_ok_next(&list, &record); answered++)
        if (!batch->slots[answered])
            continue;
        else if (counts)
            read_answer(batch->slots[answered], &record, applied_index, batch->outbox);
        else
            read_again(batch->slots[answered], batch->outbox);
    return answered;
}

/* With the reply's body, or NULL: there is none. */
static void batch_end(struct read_batch *batch, struct wire_reader *body)
{
    unsigned answered = body ? batch_answer(batch, body) : 0;
    for (unsigned i = answered; i < batch->count; i++)
        if (batch->slots[i])
            read_answer_status(batch->slots[i], PROTO_STATUS_UNAVAILABLE, NULL);
    buffer_free(&batch->found);
    free(batch);
}

void reads_on_read(struct edge_call *call, enum edge_end end, struct wire_reader *body)
{
    struct read_batch *batch = (struct read_batch *)call;
    batch->outbox->calls_in_flight--;
    if (!batch->round) {
        batch_end(batch, end == EDGE_REPLIED ? body : NULL);
        return;
    }
    batch->has_ended = true;
    if (end == EDGE_REPLIED)
        buffer_append(&batch->found, body->at, body->left);
}

/* The round's word has come. */
static void batch_confirm(struct read_batch *batch, uint64_t index)
{
    batch->round = NULL;
    batch->index_min = index;
    if (!batch->has_ended)
        return;
    struct wire_reader body = wire_reader_of(batch->found.bytes, batch->found.length);
    batch_end(batch, batch->found.length ? &body : NULL);
}

/* ---- READ_INDEX ---- */

static void round_confirm(struct read_round *round, uint64_t index)
{
    struct read_outbox *outbox = &round->reads->linearizable;
    struct request *request;
    /* Not for ever: a node that gave its cluster up for another's begins at lower indexes. */
    if (TAILQ_EMPTY(&outbox->requests) || outbox->index_min < index)
        outbox->index_min = index;
    while ((request = TAILQ_FIRST(&round->requests)))
        if (request->range)
            scans_add(round->reads->httpd->scans, request, index);
        else
            request_stage(request, &outbox->requests);
    if (round->ahead)
        batch_confirm(round->ahead, index);
}

/* What was read ahead is forgotten; its requests are as those that only wait. */
static void round_take_back(struct read_round *round)
{
    struct read_batch *batch = round->ahead;
    if (!batch)
        return;
    for (unsigned i = 0; i < batch->count; i++) {
        struct request *request = batch->slots[i];
        if (!request)
            continue;
        batch->slots[i] = NULL;
        request->slot = NULL;
        request_stage(request, &round->requests);
    }
    batch_confirm(batch, 0);
}

void reads_on_read_index(struct edge_call *call, enum edge_end end, struct wire_reader *body)
{
    static struct read_index_reply reply;
    struct read_round *round = (struct read_round *)call;
    struct reads *reads = round->reads;
    struct request *request;
    reads->rounds_in_flight--;
    if (end != EDGE_REPLIED || read_index_ok_decode(body, &reply)) {
        reply.status = PROTO_STATUS_UNAVAILABLE;
        reply.hint = (struct leader_hint){0};
    }
    reads->leads = reply.status == PROTO_STATUS_OK;
    if (reads->leads) {
        round_confirm(round, reply.index);
        free(round);
        return;
    }
    round_take_back(round);
    if (reply.status == PROTO_STATUS_NOT_LEADER)
        while ((request = TAILQ_FIRST(&round->requests)))
            follower_answer(request, &reply.hint, reads->linearizable.wait_ms);
    else
        read_answer_all(&round->requests, reply.status, &reply.hint);
    free(round);
}

/* ---- READ ---- */

/* Encodes the first keys of the list, up to a batch. */
static unsigned reads_encode(struct reads *reads, const struct request_list *list,
                             uint64_t index_min, uint64_t wait_ms)
{
    struct request *request;
    unsigned count = 0;
    read_begin(&reads->message, index_min, (uint32_t)wait_ms);
    TAILQ_FOREACH(request, list, by_stage)
    {
        if (request->range)
            continue;
        if (count == LIMIT_BATCH_RECORDS_MAX || reads->message.length >= LIMIT_BATCH_BYTES_SOFT)
            break;
        read_add(&reads->message, request->key, request->key_bytes);
        count++;
    }
    return count;
}

static void batch_take(struct read_batch *batch, struct request_list *list)
{
    struct request *request, *next;
    unsigned taken = 0;
    for (request = TAILQ_FIRST(list); taken < batch->count; request = next) {
        next = TAILQ_NEXT(request, by_stage);
        if (!request->range)
            request_take_slot(request, &batch->slots[taken++]);
    }
}

/* The keys of the list, in one READ. NULL: there are none, or the edge takes none. */
static struct read_batch *reads_send(struct reads *reads, struct request_list *list,
                                     struct read_outbox *outbox, uint64_t index_min)
{
    unsigned count = reads_encode(reads, list, index_min, outbox->wait_ms);
    struct read_batch *batch = memory_new_zeroed(1, sizeof(*batch) + count * sizeof(*batch->slots));
    uint64_t deadline_ms = loop_now_ms(reads->httpd->loop) + outbox->wait_ms + HTTPD_CALL_SLACK_MS;
    batch->reads = reads;
    batch->outbox = outbox;
    batch->count = count;
    if (!count || edge_call(reads->httpd, PROTO_READ, &reads->message, deadline_ms, &batch->call)) {
        free(batch);
        return NULL;
    }
    outbox->calls_in_flight++;
    batch_take(batch, list);
    return batch;
}

/* A write under way is committed before it is applied: what is read meanwhile would often be too
 * old. */
static void round_read_ahead(struct read_round *round)
{
    struct reads *reads = round->reads;
    struct read_outbox *outbox = &reads->linearizable;
    if (!reads->leads || writes_wait(reads->httpd->writes) || !TAILQ_EMPTY(&outbox->requests) ||
        outbox->calls_in_flight >= HTTPD_READ_CALLS_MAX)
        return;
    round->ahead = reads_send(reads, &round->requests, outbox, 0);
    if (round->ahead)
        round->ahead->round = round;
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
    round_read_ahead(round);
    return true;
}

static void reads_send_all(struct reads *reads, struct read_outbox *outbox)
{
    while (!TAILQ_EMPTY(&outbox->requests) && outbox->calls_in_flight < HTTPD_READ_CALLS_MAX)
        if (!reads_send(reads, &outbox->requests, outbox, outbox->index_min))
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
