/* A stream lives as long as its response: libmicrohttpd asks it for bytes (stream_read), and says
 * when it is over (stream_free), whether it was read to its end or not. While it waits for a part
 * its connection is suspended. */
#include "scans.h"

#include "logger.h"
#include "message.h"
#include "patience.h"
#include "range.h"
#include "reply.h"
#include "routes.h"
#include "scan.h"
#include "stream.h"
#include "text.h"
#include "writes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct scan_stream;
TAILQ_HEAD(scan_stream_list, scan_stream);

struct scans {
    struct httpd *httpd;
    struct request_list waiting;
    struct request_list blocked; /* for a place: their answers do not fit one part */
    struct patience stale_patience;
    struct scan_stream_list streams;
    struct scan_stream_list wanting; /* a part, and not asked for it yet */
    uint64_t closing[LIMIT_SCANS_MAX];
    unsigned closing_count;
    unsigned places; /* taken: by calls in flight, streams that have a scan, and `closing` */
    unsigned calls_in_flight;
    size_t bytes_held; /* of parts */
    bool makes_room;   /* somebody's place is on its way back */
    uint64_t next_ms;  /* when a part was asked for last, of all streams */
    struct loop_timer pace_timer;
    struct buffer message;
};

/* A SCAN_PART, with its bytes. */
struct part {
    struct buffer bytes;
    struct scan_part_head head;
    struct message_list records; /* what is left of it */
};

enum scan_step { SCAN_STEP_RECORD, SCAN_STEP_VALUE, SCAN_STEP_OVER };

struct scan_stream {
    struct stream out; /* first */
    struct scans *scans;
    TAILQ_ENTRY(scan_stream) link, by_want;
    struct scan_call *call; /* in flight */
    uint64_t scan;          /* 0: storaged has nothing more of it */
    uint32_t next_part;
    uint8_t flags;
    bool wants, broken;
    unsigned failure; /* a PROTO_STATUS: there will be no more */
    uint64_t deadline_ms;
    uint64_t part_ms; /* when the part came */
    struct part part;
    enum scan_step step;
    struct scan_record record; /* the last that was taken */
    struct json_bytes value;   /* what is left of its value */
    uint8_t last_key[LIMIT_KEY_BYTES_CAP];
    size_t last_key_bytes;
};

/* A call in flight: of a request (SCAN_OPEN), a stream (SCAN_NEXT), or neither (SCAN_CLOSE). What
 * it was for may be gone. */
struct scan_call {
    struct edge_call call;
    struct scans *scans;
    struct request *request;
    struct scan_stream *stream;
    bool has_place;
};

/* ---- lines ---- */

static void add_line_end(struct scan_stream *stream)
{
    char tail[40];
    int length = snprintf(tail, sizeof(tail), ",\"revision\":%llu}\n",
                          (unsigned long long)stream->record.revision);
    buffer_append(&stream->out.text, tail, (size_t)length);
}

static void add_record(struct scan_stream *stream)
{
    const struct scan_record *record = &stream->record;
    buffer_append(&stream->out.text, "{", 1);
    json_append_bytes(&stream->out.text, "key", record->key, record->key_bytes);
    if (stream->flags & SCAN_KEYS_ONLY) {
        add_line_end(stream);
        return;
    }
    buffer_append(&stream->out.text, ",", 1);
    stream->value =
        json_bytes_begin(&stream->out.text, "value", record->value, record->value_bytes);
    stream->step = SCAN_STEP_VALUE;
}

static void add_value(struct scan_stream *stream)
{
    if (json_bytes_more(&stream->value, &stream->out.text, HTTPD_STREAM_STEP_BYTES))
        return;
    add_line_end(stream);
    stream->step = SCAN_STEP_RECORD;
}

static void add_last_line(struct scan_stream *stream)
{
    char text[96];
    const struct scan_part_head *head = &stream->part.head;
    int length = snprintf(text, sizeof(text), "{\"count\":%llu,\"more\":%s,",
                          (unsigned long long)head->keys, head->more ? "true" : "false");
    buffer_append(&stream->out.text, text, (size_t)length);
    if (head->more)
        json_append_bytes(&stream->out.text, "next", stream->last_key, stream->last_key_bytes);
    else
        buffer_append(&stream->out.text, "\"next\":null", 11);
    length = snprintf(text, sizeof(text), ",\"revision\":%llu}\n", (unsigned long long)head->index);
    buffer_append(&stream->out.text, text, (size_t)length);
}

static void add_failure(struct scan_stream *stream)
{
    struct problem problem;
    reply_status_problem(stream->failure, NULL, &problem);
    if (stream->failure == PROTO_STATUS_TIMEOUT || stream->failure == PROTO_STATUS_NOT_FOUND)
        problem_set(&problem, MHD_HTTP_SERVICE_UNAVAILABLE,
                    "the lines were taken too slowly: this scan's view was given up, and it is cut "
                    "here; a limit, and after=, go on behind the last key");
    char *line = problem_render(&problem);
    buffer_append(&stream->out.text, line, strlen(line));
    free(line);
}

/* ---- parts ---- */

static void stream_drop_part(struct scan_stream *stream)
{
    stream->scans->bytes_held -= stream->part.bytes.length;
    buffer_free(&stream->part.bytes);
    stream->part.records.left = 0;
}

/* The part becomes the stream's. */
static void stream_take_part(struct scan_stream *stream, const struct part *part)
{
    stream->part = *part;
    stream->scans->bytes_held += part->bytes.length;
    stream->scan = part->head.scan;
    stream->part_ms = loop_now_ms(stream->scans->httpd->loop);
    stream->next_part++;
    if (part->head.status == PROTO_STATUS_OK)
        return;
    stream->failure = part->head.status;
    stream->part.records.left = 0;
}

static struct part part_read(enum edge_end end, const struct wire_reader *body)
{
    struct part part = {.head.status = PROTO_STATUS_UNAVAILABLE};
    if (end != EDGE_REPLIED)
        return part;
    buffer_append(&part.bytes, body->at, body->left);
    struct wire_reader reader = wire_reader_of(part.bytes.bytes, part.bytes.length);
    if (scan_part_decode(&reader, &part.head, &part.records))
        logger_error("message_damaged", "type=SCAN_PART");
    return part;
}

/* Takes the next record. A part that only counts has none, or the last key alone. */
static bool stream_take_record(struct scan_stream *stream)
{
    if (!scan_part_next(&stream->part.records, &stream->record))
        return false;
    if (stream->part.records.left == 0) {
        memcpy(stream->last_key, stream->record.key, stream->record.key_bytes);
        stream->last_key_bytes = stream->record.key_bytes;
    }
    return true;
}

static void stream_want(struct scan_stream *stream)
{
    if (stream->wants || stream->call)
        return;
    stream->wants = true;
    TAILQ_INSERT_TAIL(&stream->scans->wanting, stream, by_want);
}

static void stream_want_no_more(struct scan_stream *stream)
{
    if (stream->wants)
        TAILQ_REMOVE(&stream->scans->wanting, stream, by_want);
    stream->wants = false;
}

/* ---- the response ---- */

static enum stream_outcome stream_render_end(struct scan_stream *stream)
{
    stream_drop_part(stream);
    if (stream->step == SCAN_STEP_OVER)
        return stream->broken ? STREAM_BROKEN : STREAM_END;
    if (!stream->failure && stream->scan) {
        stream_want(stream);
        return STREAM_WAIT;
    }
    if (stream->failure)
        add_failure(stream);
    else
        add_last_line(stream);
    stream->broken = stream->failure != 0;
    stream->step = SCAN_STEP_OVER;
    return STREAM_TEXT;
}

static enum stream_outcome stream_render(struct scan_stream *stream)
{
    while (stream->out.text.length < HTTPD_STREAM_STEP_BYTES) {
        if (stream->step == SCAN_STEP_VALUE)
            add_value(stream);
        else if (!stream_take_record(stream))
            return stream->out.text.length ? STREAM_TEXT : stream_render_end(stream);
        else if (!(stream->flags & SCAN_COUNT_ONLY))
            add_record(stream);
    }
    return STREAM_TEXT;
}

/* Between two lines it is told why; within one, nothing more can be said. */
static void stream_cut(struct scan_stream *stream)
{
    if (stream->step == SCAN_STEP_OVER)
        return;
    stream->failure = PROTO_STATUS_TIMEOUT;
    if (stream->step == SCAN_STEP_VALUE) {
        stream->step = SCAN_STEP_OVER;
        stream->broken = true;
    }
    stream_drop_part(stream);
}

static enum stream_outcome scan_render(struct stream *out)
{
    struct scan_stream *stream = (struct scan_stream *)out;
    if (loop_now_ms(out->httpd->loop) >= stream->deadline_ms)
        stream_cut(stream);
    return stream_render(stream);
}

static void scans_close(struct scans *scans, uint64_t scan)
{
    scans->closing[scans->closing_count++] = scan; /* there are no more than may be open */
}

static void stream_free(void *context)
{
    struct scan_stream *stream = context;
    struct scans *scans = stream->scans;
    if (stream->call)
        stream->call->stream = NULL; /* its answer says whether there is anything to close */
    else if (stream->scan)
        scans_close(scans, stream->scan);
    stream_want_no_more(stream);
    stream_drop_part(stream);
    TAILQ_REMOVE(&scans->streams, stream, link);
    buffer_free(&stream->out.text);
    free(stream);
}

/* ---- answers of storaged ---- */

static void answer_status(struct request *request, unsigned status)
{
    struct problem problem;
    reply_status_problem(status, NULL, &problem);
    request_answer_problem(request, &problem);
}

/* The answer begins with this part. */
static void stream_begin(struct scans *scans, struct request *request, const struct part *part)
{
    struct scan_stream *stream = memory_new_zeroed(1, sizeof(*stream));
    stream->out =
        (struct stream){.httpd = scans->httpd, .mhd = request->mhd, .render = scan_render};
    stream->scans = scans;
    stream->flags = request->range->open.flags;
    stream->deadline_ms = loop_now_ms(scans->httpd->loop) + HTTPD_SCAN_MS_MAX;
    TAILQ_INSERT_TAIL(&scans->streams, stream, link);
    stream_take_part(stream, part);
    struct reply_stream reply = {.type = "application/x-ndjson",
                                 .read = stream_read,
                                 .end = stream_free,
                                 .context = stream,
                                 .is_head = request->method == METHOD_HEAD,
                                 .has_applied_index = request->range->stale,
                                 .applied_index = part->head.index};
    request_answer(request, MHD_HTTP_OK, reply_stream(&reply));
}

/* What nobody waits for any more, or is none. */
static void part_drop(struct scans *scans, struct scan_call *call, struct part *part)
{
    if (call->request && part->head.status == PROTO_STATUS_BUSY && !call->has_place) {
        call->request->slot = NULL;
        request_stage(call->request, &scans->blocked);
    } else if (call->request) {
        answer_status(call->request, part->head.status);
    }
    if (part->head.scan)
        scans_close(scans, part->head.scan);
    buffer_free(&part->bytes);
}

/* The part's scan has the call's place. */
void scans_on_part(struct edge_call *edge_call, enum edge_end end, struct wire_reader *body)
{
    struct scan_call *call = (struct scan_call *)edge_call;
    struct scans *scans = call->scans;
    struct part part = part_read(end, body);
    scans->calls_in_flight--;
    if (call->has_place && !part.head.scan)
        scans->places--;
    if (call->stream) {
        call->stream->call = NULL;
        stream_take_part(call->stream, &part);
        stream_wake(&call->stream->out);
    } else if (call->request && part.head.status == PROTO_STATUS_OK) {
        stream_begin(scans, call->request, &part);
    } else {
        part_drop(scans, call, &part);
    }
    free(call);
}

void scans_on_closed(struct edge_call *edge_call, enum edge_end end, struct wire_reader *body)
{
    struct scan_call *call = (struct scan_call *)edge_call;
    (void)end, (void)body;
    call->scans->calls_in_flight--;
    call->scans->places--;
    call->scans->makes_room = false;
    free(call);
}

/* ---- asking storaged ---- */

/* Sends scans->message. NULL: not now. */
static struct scan_call *scans_call(struct scans *scans, uint16_t type, uint64_t wait_ms)
{
    struct scan_call *call = memory_new_zeroed(1, sizeof(*call));
    uint64_t deadline_ms = loop_now_ms(scans->httpd->loop) + wait_ms + HTTPD_CALL_SLACK_MS;
    call->scans = scans;
    if (edge_call(scans->httpd, type, &scans->message, deadline_ms, &call->call)) {
        free(call);
        return NULL;
    }
    scans->calls_in_flight++;
    return call;
}

static bool send_close(struct scans *scans)
{
    scan_close_encode(&scans->message, scans->closing[scans->closing_count - 1]);
    if (!scans_call(scans, PROTO_SCAN_CLOSE, HTTPD_SCAN_PART_MS_MAX))
        return false;
    scans->closing_count--;
    return true;
}

static bool send_next(struct scans *scans)
{
    struct scan_stream *stream = TAILQ_FIRST(&scans->wanting);
    struct scan_next next = {.scan = stream->scan, .part = stream->next_part};
    scan_next_encode(&scans->message, &next);
    struct scan_call *call = scans_call(scans, PROTO_SCAN_NEXT, HTTPD_SCAN_PART_MS_MAX);
    if (!call)
        return false;
    stream_want_no_more(stream);
    call->stream = stream;
    call->has_place = true;
    stream->call = call;
    scans->next_ms = loop_now_ms(scans->httpd->loop);
    return true;
}

static uint64_t pace_end_ms(const struct scans *scans)
{
    return scans->next_ms + HTTPD_SCAN_PACE_MS;
}

/* Writes go first. */
static bool gives_way(const struct scans *scans)
{
    return writes_wait(scans->httpd->writes) &&
           loop_now_ms(scans->httpd->loop) < pace_end_ms(scans);
}

/* Nothing: there is a turn, and its end does what is to do. */
static void on_pace_end(void *context)
{
    (void)context;
}

/* With a place, if there is one; else what does not fit one part comes back. HEAD is answered as
 * GET would be, but without lines. */
static bool send_open(struct scans *scans, struct request *request)
{
    struct scan_open open = request->range->open;
    uint64_t wait_ms = scans->httpd->config->barrier_timeout_ms;
    bool has_place = scans->places < LIMIT_SCANS_MAX;
    open.wait_ms = (uint32_t)wait_ms;
    if (!has_place)
        open.flags |= SCAN_GLANCE;
    if (request->method == METHOD_HEAD) {
        open.flags |= SCAN_KEYS_ONLY;
        open.keys_max = 1;
    }
    scan_open_encode(&scans->message, &open);
    struct scan_call *call = scans_call(scans, PROTO_SCAN_OPEN, wait_ms);
    if (!call)
        return false;
    call->has_place = has_place;
    scans->places += has_place;
    request_take_slot(request, &call->request);
    return true;
}

/* The slowest of the clients that take long gives up its place and its part. */
static void make_room(struct scans *scans)
{
    struct scan_stream *stream, *slowest = NULL;
    TAILQ_FOREACH(stream, &scans->streams, link)
    {
        if (stream->part.bytes.length && !stream->call &&
            (!slowest || stream->part_ms < slowest->part_ms))
            slowest = stream;
    }
    if (!slowest || loop_now_ms(scans->httpd->loop) - slowest->part_ms < HTTPD_SCAN_SLOW_MS_MIN)
        return;
    stream_cut(slowest);
    if (!slowest->scan)
        return;
    scans->makes_room = true;
    scans_close(scans, slowest->scan);
    slowest->scan = 0;
}

static bool send_one(struct scans *scans)
{
    bool has_room = scans->bytes_held < HTTPD_SCAN_BYTES_MAX;
    if (scans->closing_count)
        return send_close(scans);
    if (has_room && !TAILQ_EMPTY(&scans->wanting) && !gives_way(scans))
        return send_next(scans);
    if (has_room && scans->places < LIMIT_SCANS_MAX && !TAILQ_EMPTY(&scans->blocked))
        return send_open(scans, TAILQ_FIRST(&scans->blocked));
    if (has_room && !TAILQ_EMPTY(&scans->waiting))
        return send_open(scans, TAILQ_FIRST(&scans->waiting));
    return false;
}

static bool is_held_up(const struct scans *scans)
{
    bool has_room = scans->bytes_held < HTTPD_SCAN_BYTES_MAX;
    return !TAILQ_EMPTY(&scans->blocked) ||
           (!has_room && !(TAILQ_EMPTY(&scans->waiting) && TAILQ_EMPTY(&scans->wanting)));
}

void scans_at_turn_end(struct scans *scans)
{
    while (scans->calls_in_flight < HTTPD_SCAN_CALLS_MAX)
        if (!send_one(scans))
            break;
    if (is_held_up(scans) && !scans->makes_room)
        make_room(scans);
    if (!TAILQ_EMPTY(&scans->wanting) && gives_way(scans))
        loop_timer_set(scans->httpd->loop, &scans->pace_timer, pace_end_ms(scans), on_pace_end,
                       scans);
}

/* ---- requests ---- */

static void on_impatience(void *context, struct request *request)
{
    (void)context;
    answer_status(request, request->slot ? PROTO_STATUS_TIMEOUT : PROTO_STATUS_BUSY);
}

void scans_add(struct scans *scans, struct request *request, uint64_t index_min)
{
    request->range->open.index_min = index_min;
    request_stage(request, &scans->waiting);
}

void scans_add_stale(struct scans *scans, struct request *request)
{
    if (!edge_is_up(scans->httpd, EDGE_STORAGED)) {
        answer_status(request, PROTO_STATUS_UNAVAILABLE);
        return;
    }
    scans_add(scans, request, 0);
    patience_begin(&scans->stale_patience, request);
}

/* The calls in flight have ended; what storaged had is gone with it. */
void scans_on_storaged_down(struct scans *scans)
{
    struct scan_stream *stream;
    while (!TAILQ_EMPTY(&scans->waiting))
        answer_status(TAILQ_FIRST(&scans->waiting), PROTO_STATUS_UNAVAILABLE);
    while (!TAILQ_EMPTY(&scans->blocked))
        answer_status(TAILQ_FIRST(&scans->blocked), PROTO_STATUS_UNAVAILABLE);
    TAILQ_FOREACH(stream, &scans->streams, link)
    {
        if (!stream->scan)
            continue;
        stream->scan = 0;
        stream->failure = PROTO_STATUS_UNAVAILABLE;
        scans->places--;
        stream_want_no_more(stream);
        stream_wake(&stream->out);
    }
    scans->places -= scans->closing_count;
    scans->closing_count = 0;
    scans->makes_room = false;
}

void scans_finish(struct scans *scans)
{
    struct scan_stream *stream;
    patience_exhaust(&scans->stale_patience);
    TAILQ_FOREACH(stream, &scans->streams, link)
    {
        stream->failure = PROTO_STATUS_UNAVAILABLE;
        stream->part.records.left = 0;
        stream_want_no_more(stream);
        stream_wake(&stream->out);
    }
}

/* ---- life ---- */

struct scans *scans_new(struct httpd *httpd)
{
    struct scans *scans = memory_new_zeroed(1, sizeof(*scans));
    scans->httpd = httpd;
    TAILQ_INIT(&scans->waiting);
    TAILQ_INIT(&scans->blocked);
    TAILQ_INIT(&scans->streams);
    TAILQ_INIT(&scans->wanting);
    patience_init(&scans->stale_patience, httpd->loop, HTTPD_STALE_READ_MS_MAX, on_impatience,
                  scans);
    return scans;
}

void scans_free(struct scans *scans)
{
    loop_timer_cancel(scans->httpd->loop, &scans->pace_timer);
    buffer_free(&scans->message);
    free(scans);
}
