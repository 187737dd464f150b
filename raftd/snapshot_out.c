#include "snapshot_out.h"

#include "buffer.h"
#include "logger.h"
#include "message.h"
#include "snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Lives until the last of its calls has ended. */
struct stream {
    struct snapshot_out *out;
    struct stream *next; /* of all that live */
    uint64_t member;
    bool is_over;
    unsigned calls; /* under way, to anyone */
    uint64_t view;
    struct install_end end; /* index, term, keys, hash; the configuration is `configuration` */
    uint8_t configuration[LIMIT_CONFIGURATION_BYTES_MAX];
    uint32_t parts_read, parts_sent, parts_taken;
    size_t part_bytes[SNAPSHOT_OUT_WINDOW]; /* of those on their way, at number % WINDOW */
    size_t window_bytes;                    /* their sum */
    bool is_reading, has_last;
    uint64_t keys, bytes, began_ms; /* sent */
};

struct snapshot_out {
    struct snapshot_out_options options;
    struct stream *stream; /* NULL: none */
    struct stream *living; /* it, and those whose calls have not ended */
    uint64_t next_ms;      /* not before */
    uint64_t hold_index, hold_until_ms;
};

static void stream_pump(struct stream *stream);

/* ---- calls ---- */

static uint64_t stream_now_ms(const struct stream *stream)
{
    return loop_now_ms(stream->out->options.loop);
}

static void stream_unref(struct stream *stream)
{
    struct stream **link = &stream->out->living;
    if (!stream->is_over || stream->calls > 0)
        return;
    while (*link != stream)
        link = &(*link)->next;
    *link = stream->next;
    free(stream);
}

static int stream_ask_storaged(struct stream *stream, uint16_t type, const struct buffer *body,
                               bus_reply_fn *fn)
{
    struct bus_client *client = feed_storaged(stream->out->options.feed);
    int code =
        bus_call(client, type, body, stream_now_ms(stream) + SNAPSHOT_OUT_PART_MS_MAX, fn, stream);
    stream->calls += code == 0;
    return code;
}

static int stream_ask_member(struct stream *stream, uint16_t type, const struct buffer *body,
                             unsigned ms_max, bus_reply_fn *fn)
{
    int code = peers_call(stream->out->options.peers, stream->member, type, body,
                          stream_now_ms(stream) + ms_max, fn, stream);
    stream->calls += code == 0;
    return code;
}

/* ---- the end of it ---- */

static void on_closed(void *context, enum bus_end end, uint16_t type, struct wire_reader *body)
{
    struct stream *stream = context;
    (void)end;
    (void)type;
    (void)body;
    stream->calls--;
    stream_unref(stream);
}

static void stream_close(struct stream *stream)
{
    struct snapshot_out *out = stream->out;
    struct buffer body = {0};
    out->stream = NULL;
    stream->is_over = true;
    snapshot_close_encode(&body, stream->view);
    if (stream->view) /* else its deadline ends it */
        (void)stream_ask_storaged(stream, PROTO_SNAPSHOT_CLOSE, &body, on_closed);
    buffer_free(&body);
}

static void stream_log(const struct stream *stream, const char *event, const char *reason)
{
    const struct raft_server *server =
        membership_server(consensus_membership(stream->out->options.consensus), stream->member);
    char quoted[SNAPSHOT_REASON_BYTES_MAX + 64];
    logger_info(event, "node_id=%s index=%llu keys=%llu of=%llu bytes=%llu ms=%llu reason=%s",
                server ? server->id : "\"\"", (unsigned long long)stream->end.index,
                (unsigned long long)stream->keys, (unsigned long long)stream->end.keys,
                (unsigned long long)stream->bytes,
                (unsigned long long)(stream_now_ms(stream) - stream->began_ms),
                logger_quoted(quoted, sizeof(quoted), reason));
}

static void stream_fail(struct stream *stream, const char *reason)
{
    struct snapshot_out *out = stream->out;
    if (stream->is_over)
        return;
    stream_log(stream, "snapshot_failed", reason);
    stream_close(stream);
    out->next_ms = loop_now_ms(out->options.loop) + SNAPSHOT_OUT_PAUSE_MS;
    consensus_snapshot_sent(out->options.consensus, stream->member, stream->end.index, false);
}

static void stream_succeed(struct stream *stream)
{
    struct snapshot_out *out = stream->out;
    stream_log(stream, "snapshot_sent", "");
    stream_close(stream);
    out->hold_index = stream->end.index;
    out->hold_until_ms = loop_now_ms(out->options.loop) + SNAPSHOT_OUT_HOLD_MS;
    consensus_snapshot_sent(out->options.consensus, stream->member, stream->end.index, true);
}

/* A call has ended: false if that does not matter any more, or if it failed. */
static bool stream_returned(struct stream *stream, enum bus_end end, const char *who)
{
    char reason[64];
    stream->calls--;
    if (stream->is_over)
        return false;
    if (end == BUS_REPLIED)
        return true;
    snprintf(reason, sizeof(reason), "%s %s", who,
             end == BUS_TIMED_OUT ? "is too slow" : "went away");
    stream_fail(stream, reason);
    return false;
}

/* The member's answer to BEGIN, PART or END. */
static bool stream_taken(struct stream *stream, enum bus_end end, uint16_t type,
                         struct wire_reader *body)
{
    struct install_reply reply;
    if (!stream_returned(stream, end, "the member"))
        return false;
    if (type != PROTO_SNAPSHOT_TAKEN || install_ok_decode(body, &reply)) {
        stream_fail(stream, "the member does not understand");
        return false;
    }
    if (reply.status == PROTO_STATUS_OK)
        return true;
    stream_fail(stream, reply.reason[0] ? reply.reason : proto_status_name(reply.status));
    return false;
}

/* ---- parts ---- */

static void on_end_taken(void *context, enum bus_end end, uint16_t type, struct wire_reader *body)
{
    struct stream *stream = context;
    if (stream_taken(stream, end, type, body))
        stream_succeed(stream);
    stream_unref(stream);
}

static void on_part_taken(void *context, enum bus_end end, uint16_t type, struct wire_reader *body)
{
    struct stream *stream = context;
    if (stream_taken(stream, end, type, body)) {
        stream->window_bytes -= stream->part_bytes[stream->parts_taken++ % SNAPSHOT_OUT_WINDOW];
        stream_pump(stream);
    }
    stream_unref(stream);
}

static void stream_forward(struct stream *stream, const struct wire_reader *part)
{
    struct buffer body = {0};
    install_part_encode(&body, stream->parts_sent, part);
    stream->part_bytes[stream->parts_sent % SNAPSHOT_OUT_WINDOW] = part->left;
    stream->window_bytes += part->left;
    stream->keys += snapshot_part_count(part);
    stream->bytes += part->left;
    if (stream_ask_member(stream, PROTO_SNAPSHOT_PART_TO, &body, SNAPSHOT_OUT_PART_MS_MAX,
                          on_part_taken))
        stream_fail(stream, "the member went away");
    stream->parts_sent++;
    buffer_free(&body);
}

static void on_part(void *context, enum bus_end end, uint16_t type, struct wire_reader *body)
{
    struct stream *stream = context;
    struct wire_reader part;
    uint16_t status;
    stream->is_reading = false;
    if (stream_returned(stream, end, "storaged")) {
        if (type != PROTO_SNAPSHOT_PART ||
            snapshot_part_decode(body, &status, &stream->has_last, &part)) {
            stream_fail(stream, "storaged does not understand");
        } else if (status != PROTO_STATUS_OK) {
            stream_fail(stream, status == PROTO_STATUS_TIMEOUT ? "its time is over"
                                                               : proto_status_name(status));
        } else {
            stream_forward(stream, &part);
            stream_pump(stream);
        }
    }
    stream_unref(stream);
}

static void stream_read(struct stream *stream)
{
    struct snapshot_read read = {.view = stream->view, .part = stream->parts_read};
    struct buffer body = {0};
    snapshot_read_encode(&body, &read);
    if (stream_ask_storaged(stream, PROTO_SNAPSHOT_READ, &body, on_part)) {
        stream_fail(stream, "storaged went away");
    } else {
        stream->is_reading = true;
        stream->parts_read++;
    }
    buffer_free(&body);
}

static void stream_end(struct stream *stream)
{
    struct buffer body = {0};
    install_end_encode(&body, &stream->end);
    if (stream_ask_member(stream, PROTO_SNAPSHOT_END_TO, &body, SNAPSHOT_OUT_END_MS_MAX,
                          on_end_taken))
        stream_fail(stream, "the member went away");
    buffer_free(&body);
}

static bool stream_has_room(const struct stream *stream)
{
    return stream->parts_sent - stream->parts_taken < SNAPSHOT_OUT_WINDOW &&
           stream->window_bytes < SNAPSHOT_OUT_WINDOW_BYTES;
}

static void stream_pump(struct stream *stream)
{
    if (stream->is_over || stream->is_reading)
        return;
    if (!stream->has_last && stream_has_room(stream))
        stream_read(stream);
    else if (stream->has_last && stream->parts_taken == stream->parts_sent)
        stream_end(stream);
}

/* ---- the beginning of it ---- */

static void on_begin_taken(void *context, enum bus_end end, uint16_t type, struct wire_reader *body)
{
    struct stream *stream = context;
    if (stream_taken(stream, end, type, body))
        stream_pump(stream);
    stream_unref(stream);
}

static void stream_begin(struct stream *stream)
{
    const struct raft *raft = consensus_raft(stream->out->options.consensus);
    struct snapshot_begin begin = {
        .index = stream->end.index, .term = stream->end.term, .leader_term = raft->hard_state.term};
    struct buffer body = {0};
    snapshot_begin_encode(&body, &begin);
    if (stream_ask_member(stream, PROTO_SNAPSHOT_BEGIN_TO, &body, SNAPSHOT_OUT_PART_MS_MAX,
                          on_begin_taken))
        stream_fail(stream, "the member went away");
    else
        stream_log(stream, "snapshot_begin", "");
    buffer_free(&body);
}

static void on_opened(void *context, enum bus_end end, uint16_t type, struct wire_reader *body)
{
    struct stream *stream = context;
    struct snapshot_opened opened;
    if (stream_returned(stream, end, "storaged")) {
        if (type != PROTO_SNAPSHOT_OPENED || snapshot_opened_decode(body, &opened)) {
            stream_fail(stream, "storaged does not understand");
        } else if (opened.status != PROTO_STATUS_OK) {
            stream_fail(stream, proto_status_name(opened.status));
        } else {
            stream->view = opened.view;
            stream->end = (struct install_end){.index = opened.index,
                                               .term = opened.term,
                                               .keys = opened.keys,
                                               .configuration = stream->configuration,
                                               .configuration_bytes = opened.configuration_bytes};
            memcpy(stream->end.state_hash, opened.state_hash, sizeof(opened.state_hash));
            memcpy(stream->configuration, opened.configuration, opened.configuration_bytes);
            stream_begin(stream);
        }
    }
    stream_unref(stream);
}

void snapshot_out_begin(struct snapshot_out *out, uint64_t member)
{
    struct buffer body = {0};
    if (out->stream || loop_now_ms(out->options.loop) < out->next_ms)
        return;
    struct stream *stream = memory_new_zeroed(1, sizeof(*stream));
    stream->out = out;
    stream->member = member;
    stream->began_ms = loop_now_ms(out->options.loop);
    stream->next = out->living;
    out->stream = out->living = stream;
    snapshot_open_encode(&body, SNAPSHOT_OUT_MS_MAX);
    if (stream_ask_storaged(stream, PROTO_SNAPSHOT_OPEN, &body, on_opened)) {
        stream_fail(stream, "storaged is away");
        stream_unref(stream);
    }
    buffer_free(&body);
}

bool snapshot_out_is_sending(const struct snapshot_out *out, uint64_t member)
{
    return out->stream && out->stream->member == member;
}

void snapshot_out_stop_all(struct snapshot_out *out)
{
    struct stream *stream = out->stream;
    if (!stream)
        return;
    stream_log(stream, "snapshot_stopped", "leadership is lost");
    stream_close(stream);
    stream_unref(stream);
}

uint64_t snapshot_out_hold_index(const struct snapshot_out *out)
{
    if (out->stream && out->stream->view)
        return out->stream->end.index;
    return loop_now_ms(out->options.loop) < out->hold_until_ms ? out->hold_index : UINT64_MAX;
}

struct snapshot_out *snapshot_out_new(const struct snapshot_out_options *options)
{
    struct snapshot_out *out = memory_new_zeroed(1, sizeof(*out));
    out->options = *options;
    return out;
}

/* Calls under way end with their clients, without their callbacks. */
void snapshot_out_free(struct snapshot_out *out)
{
    while (out && out->living) {
        struct stream *stream = out->living;
        out->living = stream->next;
        free(stream);
    }
    free(out);
}
