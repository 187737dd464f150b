/* A stream lives as long as its response, as in scans.c. What it waits for: that its client takes
 * the part it has (part), a part it asked for (call), its turn to ask (wants), or news (idle). One
 * call for all idle ones waits in storaged for the first index that one of them does not know. */
#include "watches.h"

#include "deadlines.h"
#include "logger.h"
#include "message.h"
#include "patience.h"
#include "reply.h"
#include "routes.h"
#include "stream.h"
#include "text.h"
#include "watch.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct watch_stream;
TAILQ_HEAD(watch_stream_list, watch_stream);

struct watches {
    struct httpd *httpd;
    struct request_list waiting;
    struct patience patience;
    struct watch_stream_list streams, wanting;
    struct deadlines beats;
    unsigned count;     /* of streams */
    uint64_t probed_ms; /* when it was last looked whose clients are gone */
    unsigned calls_in_flight;
    bool is_waiting; /* for news */
    uint64_t news_index;
    uint64_t applied; /* as storaged said last; 0: nothing, on this connection */
    size_t bytes_held;
    uint64_t events;
    struct buffer message;
};

enum watch_step { WATCH_STEP_EVENT, WATCH_STEP_VALUE, WATCH_STEP_OVER };

struct watch_stream {
    struct stream out; /* first */
    struct watches *watches;
    TAILQ_ENTRY(watch_stream) link, by_want;
    struct watch_call *call;
    struct deadline beat;
    bool wants, idle, beats;
    uint64_t gone_oldest; /* 0: history goes back far enough */
    uint64_t next;        /* what has not been asked for begins here */
    uint32_t next_skip;
    uint64_t told; /* the revision a client goes on behind */
    struct buffer part;
    struct message_list changes; /* what is left of it */
    enum watch_step step;
    struct watch_change change;
    struct json_bytes value;
    uint8_t filter;
    size_t key_bytes;
    uint8_t key[LIMIT_KEY_BYTES_CAP];
};

/* In flight: of a request, a stream, or neither (for news). What it was for may be gone. */
struct watch_call {
    struct edge_call call;
    struct watches *watches;
    struct request *request;
    struct watch_stream *stream;
    bool is_for_news;
};

/* ---- what is asked for ---- */

/* R or R.k */
static bool read_event_id(const char *text, struct watching *watching)
{
    size_t length = strcspn(text, " \t"), revision_bytes = strcspn(text, ". \t");
    uint64_t revision, ordinal = 0;
    bool has_ordinal = revision_bytes < length;
    if (text[length + strspn(text + length, " \t")] ||
        !text_read_number(text, revision_bytes, &revision) || revision == UINT64_MAX)
        return false;
    if (has_ordinal &&
        (!text_read_number(text + revision_bytes + 1, length - revision_bytes - 1, &ordinal) ||
         !revision || !ordinal || ordinal > UINT32_MAX))
        return false;
    watching->from = has_ordinal ? revision : revision + 1;
    watching->skip = (uint32_t)ordinal;
    return true;
}

static int read_from(const struct request *request, struct watching *watching,
                     struct problem *problem)
{
    const struct uri_parameter *from = uri_find(&request->uri, "from");
    const char *id = request->findings.last_event_id;
    bool good = from && text_read_number(from->value, from->value_bytes, &watching->from);
    if (from && (!good || !watching->from))
        return problem_set(problem, MHD_HTTP_BAD_REQUEST,
                           "query parameter from: want a revision, 1 or more");
    if (id && !read_event_id(id, watching))
        return problem_set(problem, MHD_HTTP_BAD_REQUEST,
                           "header field Last-Event-ID: want the id of an event");
    return 0;
}

int watches_prepare(struct request *request, struct problem *problem)
{
    struct watching *watching = memory_new_zeroed(1, sizeof(*watching));
    const struct uri_parameter *key = uri_find(&request->uri, "key");
    const struct uri_parameter *prefix = uri_find(&request->uri, "prefix");
    const struct uri_parameter *given = key ? key : prefix;
    request->watching = watching;
    if (key && prefix)
        return problem_set(problem, MHD_HTTP_BAD_REQUEST,
                           "query parameter prefix: does not go with key");
    if (key && !key->value_bytes)
        return problem_set(problem, MHD_HTTP_BAD_REQUEST, "query parameter key: it is empty");
    if (given && given->value_bytes > LIMIT_KEY_BYTES_CAP)
        return problem_set(problem, MHD_HTTP_CONTENT_TOO_LARGE,
                           "query parameter %s: it has %zu bytes, the limit is %u",
                           key ? "key" : "prefix", given->value_bytes, LIMIT_KEY_BYTES_CAP);
    watching->filter = key ? WATCH_KEY : WATCH_PREFIX;
    watching->key = given ? given->value : NULL;
    watching->key_bytes = given ? given->value_bytes : 0;
    return read_from(request, watching, problem);
}

/* ---- events ---- */

static void add_begin(struct watch_stream *stream)
{
    char text[96];
    const struct watch_change *change = &stream->change;
    bool is_put = change->kind == WATCH_PUT;
    int length = snprintf(text, sizeof(text), "id: %llu", (unsigned long long)change->index);
    if (change->ordinal)
        length += snprintf(text + length, sizeof(text) - (size_t)length, ".%u", change->ordinal);
    length += snprintf(text + length, sizeof(text) - (size_t)length, "\nevent: %s\ndata: {",
                       is_put ? "put" : "delete");
    buffer_append(&stream->out.text, text, (size_t)length);
    json_append_bytes(&stream->out.text, "key", change->key, change->key_bytes);
    if (!is_put)
        return;
    buffer_append(&stream->out.text, ",", 1);
    stream->value =
        json_bytes_begin(&stream->out.text, "value", change->value, change->value_bytes);
    stream->step = WATCH_STEP_VALUE;
}

static void add_end(struct watch_stream *stream)
{
    char text[48];
    int length = snprintf(text, sizeof(text), ",\"revision\":%llu}\n\n",
                          (unsigned long long)stream->change.index);
    buffer_append(&stream->out.text, text, (size_t)length);
    stream->watches->events++;
    if (!stream->change.ordinal)
        stream->told = stream->change.index;
    stream->step = WATCH_STEP_EVENT;
}

static void add_gone(struct watch_stream *stream)
{
    char text[128];
    int length = snprintf(text, sizeof(text), "event: gone\ndata: {\"oldest\":%llu}\n\n",
                          (unsigned long long)stream->gone_oldest);
    buffer_append(&stream->out.text, text, (size_t)length);
    stream->step = WATCH_STEP_OVER;
}

static void add_beat(struct watch_stream *stream)
{
    char text[64];
    int length = snprintf(text, sizeof(text), ":\n\n");
    if (stream->idle && stream->next - 1 > stream->told) {
        stream->told = stream->next - 1;
        length += snprintf(text + length, sizeof(text) - (size_t)length, "id: %llu\n\n",
                           (unsigned long long)stream->told);
    }
    buffer_append(&stream->out.text, text, (size_t)length);
    stream->beats = false;
}

/* ---- parts ---- */

static void stream_drop_part(struct watch_stream *stream)
{
    stream->watches->bytes_held -= stream->part.length;
    buffer_free(&stream->part);
    stream->changes.left = 0;
}

/* Not while it has a part: it wants the next when that is said. */
static void stream_want(struct watch_stream *stream)
{
    stream->idle = false;
    if (stream->wants || stream->call || stream->part.bytes)
        return;
    stream->wants = true;
    TAILQ_INSERT_TAIL(&stream->watches->wanting, stream, by_want);
}

static void stream_want_no_more(struct watch_stream *stream)
{
    if (stream->wants)
        TAILQ_REMOVE(&stream->watches->wanting, stream, by_want);
    stream->wants = false;
}

/* Takes over the bytes, if there is something in them. */
static void stream_take_part(struct watch_stream *stream, struct buffer *bytes,
                             const struct watch_head *head, struct message_list changes)
{
    if (changes.left) {
        stream->part = *bytes;
        *bytes = (struct buffer){0};
        stream->watches->bytes_held += stream->part.length;
        stream->changes = changes;
    }
    stream->next = head->next;
    stream->next_skip = head->next_skip;
    if (head->status == PROTO_STATUS_GAP)
        stream->gone_oldest = head->oldest;
    stream->idle = !stream->gone_oldest && head->next > head->applied;
    if (changes.left || stream->gone_oldest)
        stream_wake(&stream->out);
    else if (!stream->idle)
        stream_want(stream);
}

/* ---- the response ---- */

/* False: nothing to say now. */
static bool stream_render_rest(struct watch_stream *stream)
{
    if (stream->part.bytes)
        stream_drop_part(stream);
    if (stream->gone_oldest)
        add_gone(stream);
    else if (stream->beats)
        add_beat(stream);
    else if (!stream->idle)
        stream_want(stream);
    return stream->out.text.length > 0;
}

static bool stream_render(struct watch_stream *stream)
{
    while (stream->out.text.length < HTTPD_STREAM_STEP_BYTES) {
        if (stream->step == WATCH_STEP_VALUE) {
            if (!json_bytes_more(&stream->value, &stream->out.text, HTTPD_STREAM_STEP_BYTES))
                add_end(stream);
        } else if (watch_ok_next(&stream->changes, &stream->change)) {
            add_begin(stream);
            if (stream->step == WATCH_STEP_EVENT)
                add_end(stream);
        } else {
            return stream->out.text.length > 0 || stream_render_rest(stream);
        }
    }
    return true;
}

/* An answer of a process that goes ends behind a whole event. */
static enum stream_outcome watch_render(struct stream *out)
{
    struct watch_stream *stream = (struct watch_stream *)out;
    struct watches *watches = stream->watches;
    if (stream->step == WATCH_STEP_OVER ||
        (watches->httpd->draining && stream->step == WATCH_STEP_EVENT))
        return STREAM_END;
    if (!stream_render(stream))
        return STREAM_WAIT;
    deadline_set(&watches->beats, &stream->beat, HTTPD_WATCH_BEAT_MS);
    return STREAM_TEXT;
}

static void stream_free(void *context)
{
    struct watch_stream *stream = context;
    struct watches *watches = stream->watches;
    if (stream->call)
        stream->call->stream = NULL;
    stream_want_no_more(stream);
    stream_drop_part(stream);
    deadline_remove(&watches->beats, &stream->beat);
    TAILQ_REMOVE(&watches->streams, stream, link);
    watches->count--;
    buffer_free(&stream->out.text);
    free(stream);
}

static void on_beat(void *context, struct deadline *deadline)
{
    struct watch_stream *stream =
        (struct watch_stream *)(void *)((char *)deadline - offsetof(struct watch_stream, beat));
    (void)context;
    stream->beats = true;
    stream_wake(&stream->out);
}

static struct watch_stream *stream_new(struct watches *watches, const struct request *request)
{
    const struct watching *watching = request->watching;
    struct watch_stream *stream = memory_new_zeroed(1, sizeof(*stream));
    stream->out =
        (struct stream){.httpd = watches->httpd, .mhd = request->mhd, .render = watch_render};
    stream->watches = watches;
    stream->filter = watching->filter;
    stream->key_bytes = watching->key_bytes;
    if (watching->key_bytes)
        memcpy(stream->key, watching->key, watching->key_bytes);
    stream->told = watching->from ? watching->from - 1 : 0;
    TAILQ_INSERT_TAIL(&watches->streams, stream, link);
    deadline_add(&watches->beats, &stream->beat);
    deadline_set(&watches->beats, &stream->beat, HTTPD_WATCH_BEAT_MS);
    return stream;
}

/* ---- answers of storaged ---- */

static void answer_status(struct request *request, unsigned status, uint64_t oldest)
{
    struct problem problem;
    if (status == PROTO_STATUS_GAP)
        problem_set(&problem, MHD_HTTP_GONE,
                    "what changed then is not remembered any more; the oldest revision to watch "
                    "from is %llu",
                    (unsigned long long)oldest);
    else
        reply_status_problem(status, NULL, &problem);
    request_answer_problem(request, &problem);
}

/* So that the answer's head goes out at once; who gave no place to begin at is told it (0 where
 * nothing was applied yet), and can go on from there even if the connection ends before the first
 * change. */
static void stream_greet(struct watch_stream *stream, bool has_from, uint64_t applied)
{
    char text[48] = ":\n\n";
    if (!has_from) {
        stream->told = applied;
        snprintf(text, sizeof(text), ":\n\nid: %llu\n\n", (unsigned long long)applied);
    }
    buffer_append(&stream->out.text, text, strlen(text));
}

static void begin_stream(struct watches *watches, struct request *request, struct buffer *bytes,
                         const struct watch_head *head, struct message_list changes)
{
    struct watch_stream *stream = stream_new(watches, request);
    watches->count++;
    stream_greet(stream, request->watching->from > 0, head->applied);
    stream_take_part(stream, bytes, head, changes);
    struct reply_stream reply = {.type = "text/event-stream",
                                 .read = stream_read,
                                 .end = stream_free,
                                 .context = stream,
                                 .is_head = request->method == METHOD_HEAD,
                                 .has_applied_index = true,
                                 .applied_index = head->applied};
    request_answer(request, MHD_HTTP_OK, reply_stream(&reply));
}

/* Whoever is gone is noticed when something is said to it. */
static void answer_too_many(struct watches *watches, struct request *request)
{
    struct problem problem;
    struct watch_stream *stream;
    uint64_t now_ms = loop_now_ms(watches->httpd->loop);
    problem_set_unavailable(&problem, "there are too many watches");
    request_answer_problem(request, &problem);
    if (now_ms < watches->probed_ms + HTTPD_WATCH_PROBE_MS)
        return;
    watches->probed_ms = now_ms;
    TAILQ_FOREACH(stream, &watches->streams, link)
    {
        stream->beats = true;
        stream_wake(&stream->out);
    }
}

static void on_first(struct watches *watches, struct request *request, struct buffer *bytes,
                     const struct watch_head *head, struct message_list changes)
{
    if (head->status == PROTO_STATUS_OK && watches->count >= HTTPD_WATCHES_MAX)
        answer_too_many(watches, request);
    else if (head->status != PROTO_STATUS_OK)
        answer_status(request, head->status, head->oldest);
    else
        begin_stream(watches, request, bytes, head, changes);
}

/* On one connection storaged goes back only when its state is replaced by another cluster's: a
 * stream that is ahead of that waits for indexes that mean something else now. */
static void on_applied(struct watches *watches, const struct watch_head *head)
{
    struct watch_stream *stream;
    bool is_another = head->applied < watches->applied;
    watches->applied = head->applied;
    if (!is_another)
        return;
    TAILQ_FOREACH(stream, &watches->streams, link)
    {
        if (stream->next <= head->applied + 1)
            continue;
        stream->gone_oldest = head->oldest;
        stream->idle = false;
        stream_want_no_more(stream);
        stream_wake(&stream->out);
    }
}

static void on_news(struct watches *watches, const struct watch_head *head)
{
    struct watch_stream *stream;
    TAILQ_FOREACH(stream, &watches->streams, link)
    {
        if (stream->idle && stream->next <= head->applied)
            stream_want(stream);
    }
}

void watches_on_changes(struct edge_call *edge_call, enum edge_end end, struct wire_reader *body)
{
    struct watch_call *call = (struct watch_call *)edge_call;
    struct watches *watches = call->watches;
    struct watch_head head = {.status = PROTO_STATUS_UNAVAILABLE};
    struct message_list changes = {.left = 0};
    struct buffer bytes = {0};
    if (end == EDGE_REPLIED) {
        buffer_append(&bytes, body->at, body->left);
        struct wire_reader reader = wire_reader_of(bytes.bytes, bytes.length);
        if (watch_ok_decode(&reader, &head, &changes))
            logger_error("message_damaged", "type=WATCH_OK");
        else
            on_applied(watches, &head);
    }
    if (call->is_for_news) {
        watches->is_waiting = false;
        on_news(watches, &head);
    } else {
        watches->calls_in_flight--;
    }
    if (call->stream) {
        call->stream->call = NULL;
        if (head.status == PROTO_STATUS_UNAVAILABLE)
            stream_want(call->stream); /* it is asked again when storaged is there */
        else
            stream_take_part(call->stream, &bytes, &head, changes);
    } else if (call->request) {
        on_first(watches, call->request, &bytes, &head, changes);
    }
    buffer_free(&bytes);
    free(call);
}

/* ---- asking storaged ---- */

/* NULL: not now. */
static struct watch_call *watches_call(struct watches *watches, const struct watch *watch)
{
    struct watch_call *call = memory_new_zeroed(1, sizeof(*call));
    uint64_t deadline_ms = loop_now_ms(watches->httpd->loop) + watch->wait_ms +
                           HTTPD_WATCH_CALL_MS_MAX + HTTPD_CALL_SLACK_MS;
    call->watches = watches;
    watch_encode(&watches->message, watch);
    if (edge_call(watches->httpd, PROTO_WATCH, &watches->message, deadline_ms, &call->call)) {
        free(call);
        return NULL;
    }
    return call;
}

static bool ask_for_stream(struct watches *watches)
{
    struct watch_stream *stream = TAILQ_FIRST(&watches->wanting);
    struct watch watch = {.from = stream->next,
                          .skip = stream->next_skip,
                          .filter = stream->filter,
                          .bytes_soft = HTTPD_WATCH_PART_BYTES_SOFT,
                          .key = stream->key,
                          .key_bytes = stream->key_bytes};
    struct watch_call *call = watches_call(watches, &watch);
    if (!call)
        return false;
    watches->calls_in_flight++;
    stream_want_no_more(stream);
    call->stream = stream;
    stream->call = call;
    return true;
}

static bool ask_for_request(struct watches *watches)
{
    struct request *request = TAILQ_FIRST(&watches->waiting);
    const struct watching *watching = request->watching;
    struct watch watch = {.from = watching->from,
                          .skip = watching->skip,
                          .filter = watching->filter,
                          .bytes_soft = HTTPD_WATCH_PART_BYTES_SOFT,
                          .key = watching->key,
                          .key_bytes = watching->key_bytes};
    struct watch_call *call = watches_call(watches, &watch);
    if (!call)
        return false;
    watches->calls_in_flight++;
    request_take_slot(request, &call->request);
    return true;
}

/* One call waits for the first index that an idle stream needs. A stream that needs an earlier one
 * than the call in flight waits for sends another: both may be in flight, until the first has had
 * its time. */
static void ask_for_news(struct watches *watches)
{
    struct watch_stream *stream;
    uint64_t next = UINT64_MAX;
    TAILQ_FOREACH(stream, &watches->streams, link)
    {
        if (stream->idle && stream->next < next)
            next = stream->next;
    }
    if (next == UINT64_MAX || (watches->is_waiting && next >= watches->news_index))
        return;
    struct watch watch = {.from = next, .filter = WATCH_NOTHING, .wait_ms = HTTPD_WATCH_BEAT_MS};
    struct watch_call *call = watches_call(watches, &watch);
    if (!call)
        return;
    call->is_for_news = watches->is_waiting = true;
    watches->news_index = next;
}

void watches_at_turn_end(struct watches *watches)
{
    bool asks = true;
    while (asks && watches->calls_in_flight < HTTPD_WATCH_CALLS_MAX) {
        if (!TAILQ_EMPTY(&watches->wanting) && watches->bytes_held < HTTPD_WATCH_BYTES_MAX)
            asks = ask_for_stream(watches);
        else
            asks = !TAILQ_EMPTY(&watches->waiting) && ask_for_request(watches);
    }
    if (!TAILQ_EMPTY(&watches->streams))
        ask_for_news(watches);
}

/* ---- requests ---- */

static void on_impatience(void *context, struct request *request)
{
    (void)context;
    answer_status(request, PROTO_STATUS_BUSY, 0);
}

void watches_serve(struct request *request)
{
    struct watches *watches = request->httpd->watches;
    if (!edge_is_up(watches->httpd, EDGE_STORAGED)) {
        answer_status(request, PROTO_STATUS_UNAVAILABLE, 0);
    } else if (watches->count >= HTTPD_WATCHES_MAX) {
        answer_too_many(watches, request);
    } else {
        request_stage(request, &watches->waiting);
        patience_begin(&watches->patience, request);
    }
}

void watches_on_storaged_down(struct watches *watches)
{
    watches->applied = 0;
    while (!TAILQ_EMPTY(&watches->waiting))
        answer_status(TAILQ_FIRST(&watches->waiting), PROTO_STATUS_UNAVAILABLE, 0);
}

void watches_drain(struct watches *watches)
{
    struct watch_stream *stream;
    TAILQ_FOREACH(stream, &watches->streams, link)
    {
        stream_wake(&stream->out);
    }
}

void watches_finish(struct watches *watches)
{
    patience_exhaust(&watches->patience);
    watches_drain(watches);
}

uint64_t watches_events(const struct watches *watches)
{
    return watches->events;
}

size_t watches_bytes(const struct watches *watches)
{
    return watches->bytes_held;
}

unsigned watches_count(const struct watches *watches)
{
    return watches->count;
}

/* ---- life ---- */

struct watches *watches_new(struct httpd *httpd)
{
    struct watches *watches = memory_new_zeroed(1, sizeof(*watches));
    watches->httpd = httpd;
    TAILQ_INIT(&watches->waiting);
    TAILQ_INIT(&watches->streams);
    TAILQ_INIT(&watches->wanting);
    patience_init(&watches->patience, httpd->loop, HTTPD_STALE_READ_MS_MAX, on_impatience, watches);
    deadlines_init(&watches->beats, httpd->loop, on_beat, watches);
    return watches;
}

void watches_free(struct watches *watches)
{
    deadlines_finish(&watches->beats);
    buffer_free(&watches->message);
    free(watches);
}
