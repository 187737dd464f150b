/* A turn's requests are encoded into one PROPOSE at its end, or HTTPD_PROPOSE_EARLY_COUNT of them as
 * soon as they are there. While HTTPD_PROPOSE_CALLS_MAX of them
 * are in flight the next requests wait in `unsent` and go out together: the busier raftd is, the
 * larger its batches. */
#include "writes.h"

#include "follower.h"
#include "kv.h"
#include "logger.h"
#include "message.h"
#include "patience.h"
#include "propose.h"
#include "reply.h"
#include "routes.h"
#include "transaction.h"

#include <stdlib.h>

struct writes {
    struct httpd *httpd;
    struct request_list unsent;
    struct patience patience; /* of all, sent or not */
    unsigned calls_in_flight;
    unsigned added_count; /* in this turn, since something was sent */
    struct buffer message, command;
};

/* A PROPOSE in flight. A request that was answered before its result came has left its slot. */
struct write_batch {
    struct edge_call call;
    struct writes *writes;
    unsigned count;
    struct request *slots[];
};

/* ---- answers ---- */

static void write_answer_status(struct request *request, unsigned status,
                                const struct leader_hint *hint, const struct command_result *result)
{
    struct problem problem;
    reply_status_problem(status, hint, &problem);
    if (status == PROTO_STATUS_CONDITION_FAILED && result) {
        problem.has_revision = true;
        problem.revision = result->revision;
    }
    request_answer_problem(request, &problem);
}

static void write_answer(struct request *request, const struct result_record *record,
                         const struct leader_hint *hint)
{
    struct command_result result;
    if (record->status == PROTO_STATUS_NOT_LEADER) {
        follower_answer(request, hint, LIMIT_WRITE_MS_MAX);
    } else if (record->status != PROTO_STATUS_OK) {
        write_answer_status(request, record->status, hint, NULL);
    } else if (request->transaction) {
        transaction_answer(request, record);
    } else if (command_result_decode(record->result, record->result_bytes, &result)) {
        write_answer_status(request, PROTO_STATUS_UNKNOWN, hint, NULL);
    } else if (result.status != PROTO_STATUS_OK) {
        write_answer_status(request, result.status, hint, &result);
    } else {
        uint64_t revision = result.revision ? result.revision : record->index;
        request_answer(request, MHD_HTTP_OK, reply_written(revision, result.revision != 0));
    }
}

static void write_on_impatience(void *context, struct request *request)
{
    (void)context;
    unsigned status = request->slot ? PROTO_STATUS_UNKNOWN : PROTO_STATUS_BUSY;
    write_answer_status(request, status, NULL, NULL);
}

/* Answers all of a batch that are left, from `first` on. */
static void batch_answer_rest(struct write_batch *batch, unsigned first, unsigned status)
{
    for (unsigned i = first; i < batch->count; i++)
        if (batch->slots[i])
            write_answer_status(batch->slots[i], status, NULL, NULL);
}

static unsigned batch_answer(struct write_batch *batch, struct wire_reader *body)
{
    static struct leader_hint hint;
    struct message_list list;
    struct result_record record;
    unsigned answered = 0;
    if (result_decode(body, &hint, &list)) {
        logger_error("message_damaged", "type=RESULT");
        return 0;
    }
    for (; answered < batch->count && result_next(&list, &record); answered++)
        if (batch->slots[answered])
            write_answer(batch->slots[answered], &record, &hint);
    return answered;
}

void writes_on_result(struct edge_call *call, enum edge_end end, struct wire_reader *body)
{
    struct write_batch *batch = (struct write_batch *)call;
    batch->writes->calls_in_flight--;
    unsigned answered = end == EDGE_REPLIED ? batch_answer(batch, body) : 0;
    batch_answer_rest(batch, answered,
                      end == EDGE_REFUSED ? PROTO_STATUS_UNAVAILABLE : PROTO_STATUS_UNKNOWN);
    free(batch);
}

/* ---- sending ---- */

static void encode_command(const struct request *request, struct buffer *into)
{
    into->length = 0;
    if (request->transaction)
        transaction_encode_command(request->transaction, into);
    else
        kv_encode_command(request, into);
}

static bool has_puts(const struct request *request)
{
    return request->transaction ? transaction_has_puts(request->transaction)
                                : (request->route->methods & METHOD_PUT) != 0;
}

static size_t result_bytes_max(const struct request *request)
{
    return request->transaction ? transaction_result_bytes_max(request->transaction)
                                : COMMAND_RESULT_BYTES;
}

/* Encodes the oldest unsent requests, up to a batch, whose results fit a frame too; they stay in
 * the list. */
static unsigned writes_encode(struct writes *writes)
{
    struct request *request;
    unsigned count = 0;
    size_t results_bytes = 0;
    propose_begin(&writes->message);
    TAILQ_FOREACH(request, &writes->unsent, by_stage)
    {
        results_bytes += result_bytes_max(request);
        if (count == LIMIT_BATCH_RECORDS_MAX || writes->message.length >= LIMIT_BATCH_BYTES_SOFT ||
            (count > 0 && results_bytes > HTTPD_RESULTS_BYTES_MAX))
            break;
        encode_command(request, &writes->command);
        propose_add(&writes->message, &(struct propose_record){
                                          .may_use_reserve = !has_puts(request),
                                          .command = writes->command.bytes,
                                          .command_bytes = writes->command.length,
                                      });
        count++;
    }
    return count;
}

static struct write_batch *writes_take_batch(struct writes *writes, unsigned count)
{
    struct write_batch *batch = memory_new(sizeof(*batch) + count * sizeof(*batch->slots));
    batch->writes = writes;
    batch->count = count;
    return batch;
}

/* Sends one batch; false if the edge takes none. */
static bool writes_send(struct writes *writes)
{
    struct loop *loop = writes->httpd->loop;
    unsigned count = writes_encode(writes);
    struct write_batch *batch = writes_take_batch(writes, count);
    uint64_t deadline_ms = loop_now_ms(loop) + LIMIT_WRITE_MS_MAX + HTTPD_CALL_SLACK_MS;
    if (edge_call(writes->httpd, PROTO_PROPOSE, &writes->message, deadline_ms, &batch->call)) {
        free(batch);
        return false;
    }
    writes->calls_in_flight++;
    for (unsigned i = 0; i < count; i++) {
        struct request *request = TAILQ_FIRST(&writes->unsent);
        request_take_slot(request, &batch->slots[i]);
        if (!writes->httpd->proxy) /* else the leader may have to get it */
            request_drop_body(request);
    }
    return true;
}

bool writes_wait(const struct writes *writes)
{
    return writes->calls_in_flight > 0 || !TAILQ_EMPTY(&writes->unsent);
}

static void writes_send_all(struct writes *writes)
{
    writes->added_count = 0;
    while (!TAILQ_EMPTY(&writes->unsent) && writes->calls_in_flight < HTTPD_PROPOSE_CALLS_MAX)
        if (!writes_send(writes))
            break;
}

void writes_at_turn_end(struct writes *writes)
{
    writes_send_all(writes);
    buffer_clear(&writes->message, 2 * LIMIT_BATCH_BYTES_SOFT);
    buffer_clear(&writes->command, LIMIT_BATCH_BYTES_SOFT);
}

/* ---- requests ---- */

void writes_add(struct writes *writes, struct request *request)
{
    if (!edge_is_up(writes->httpd, EDGE_RAFTD)) {
        write_answer_status(request, PROTO_STATUS_UNAVAILABLE, NULL, NULL);
        return;
    }
    request_stage(request, &writes->unsent);
    patience_begin(&writes->patience, request);
    if (++writes->added_count == HTTPD_PROPOSE_EARLY_COUNT) {
        writes_send_all(writes);
        edge_flush(writes->httpd, EDGE_RAFTD);
    }
}

void writes_on_raftd_down(struct writes *writes)
{
    while (!TAILQ_EMPTY(&writes->unsent))
        write_answer_status(TAILQ_FIRST(&writes->unsent), PROTO_STATUS_UNAVAILABLE, NULL, NULL);
}

void writes_finish(struct writes *writes)
{
    patience_exhaust(&writes->patience);
}

struct writes *writes_new(struct httpd *httpd)
{
    struct writes *writes = memory_new_zeroed(1, sizeof(*writes));
    writes->httpd = httpd;
    TAILQ_INIT(&writes->unsent);
    patience_init(&writes->patience, httpd->loop, LIMIT_WRITE_MS_MAX, write_on_impatience, writes);
    return writes;
}

void writes_free(struct writes *writes)
{
    buffer_free(&writes->message);
    buffer_free(&writes->command);
    free(writes);
}
