#include "feed.h"

#include "apply.h"
#include "buffer.h"
#include "datadir.h"
#include "limits.h"
#include "logger.h"
#include "message.h"
#include "snapshot.h"
#include "status.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ASK_MS_MAX 1000u /* nng may lose a message when connections change: it is asked again */
#define BUSY_PAUSE_MS 10u
#define DURABLE_POLL_MS                                                                            \
    1000u /* while storaged has more applied than durable and nothing is fed                       \
           */

enum feed_state {
    FEED_DOWN,
    FEED_ASKING,
    FEED_EMPTYING,
    FEED_RESTING,
    FEED_HELD,
    FEED_FEEDING,
};

struct feed_call {
    struct feed *feed; /* NULL: free */
    uint64_t first_index;
    uint32_t count;
};

struct feed {
    struct feed_options options;
    struct bus_client *client;
    enum feed_state state;
    bool asked;                            /* a STORE_STATUS is in flight */
    bool was_short;                        /* the last answer, for its size: nothing to wonder at */
    uint64_t next_index;                   /* of the next APPLY */
    uint64_t applied_index, durable_index; /* as storaged said last */
    uint16_t store_health;                 /* the same */
    struct feed_call calls[FEED_CALLS_MAX];
    unsigned calls_count;
    uint64_t down_since_ms;
    uint64_t silent_since_ms; /* asked, and nothing was answered since; 0: nothing is owed */
    struct loop_timer ask_timer;
    struct buffer apply;
};

static void feed_ask(void *context);
static void feed_empty_store(struct feed *feed);

/* ---- whether it answers ---- */

static void feed_on_asked(struct feed *feed)
{
    if (!feed->silent_since_ms)
        feed->silent_since_ms = loop_now_ms(feed->options.loop);
}

static void feed_on_heard(struct feed *feed)
{
    bool is_owed = feed->asked || feed->calls_count > 0;
    feed->silent_since_ms = is_owed ? loop_now_ms(feed->options.loop) : 0;
}

/* ---- storaged's position ---- */

/* Until all is durable, and until there is room again. */
static bool feed_has_to_poll(const struct feed *feed)
{
    return feed->applied_index > feed->durable_index || feed->store_health == PROTO_STATUS_NO_SPACE;
}

static void feed_note(struct feed *feed, uint64_t applied_index, uint64_t durable_index,
                      uint16_t health)
{
    feed->store_health = health;
    proposals_on_store_health(feed->options.proposals, health);
    if (feed->state == FEED_FEEDING && applied_index < feed->applied_index && feed->calls_count > 0)
        return; /* an answer that an APPLIED overtook */
    feed->applied_index = applied_index;
    struct log *log = consensus_log(feed->options.consensus);
    if (log)
        log_forget(log, applied_index);
    if (durable_index != feed->durable_index) {
        feed->durable_index = durable_index;
        consensus_on_store_durable(feed->options.consensus, durable_index);
    }
    if (feed_has_to_poll(feed) && !feed->ask_timer.place)
        loop_timer_set(feed->options.loop, &feed->ask_timer,
                       loop_now_ms(feed->options.loop) + DURABLE_POLL_MS, feed_ask, feed);
}

/* False: nothing is fed behind this place. */
static bool feed_take_place(struct feed *feed, const struct store_status *status)
{
    enum consensus_place place;
    struct error error = {""};
    int code = consensus_place(feed->options.consensus, status->applied_index, status->applied_term,
                               &place, &error);
    if (code) {
        feed->options.on_failed(feed->options.context, code, &error);
        return false;
    }
    if (place == CONSENSUS_EMPTY)
        feed_empty_store(feed);
    else
        feed->state = place == CONSENSUS_FEED ? FEED_FEEDING : FEED_RESTING;
    if (feed->state != FEED_FEEDING)
        return false;
    proposals_on_skipped(feed->options.proposals, status->applied_index);
    feed->next_index = status->applied_index + 1;
    if (!feed->was_short)
        logger_info("feeding", "from_index=%llu", (unsigned long long)feed->next_index);
    feed->was_short = false;
    return true;
}

static void feed_on_status(void *context, enum bus_end end, uint16_t type, struct wire_reader *body)
{
    struct feed *feed = context;
    struct store_status status;
    feed->asked = false;
    if (end == BUS_REPLIED)
        feed_on_heard(feed);
    if ((feed->state != FEED_ASKING && feed->state != FEED_FEEDING) || end == BUS_PEER_GONE)
        return;
    if (end != BUS_REPLIED || type != PROTO_STORE_STATUS_OK || store_status_decode(body, &status)) {
        logger_warning("storaged_silent", "end=%d type=%u", (int)end, type);
        feed_ask(feed);
        return;
    }
    if (feed->state == FEED_ASKING && !feed_take_place(feed, &status))
        return;
    feed_note(feed, status.applied_index, status.durable_index, status.health);
}

/* Also the poll while nothing is fed: the answer of an APPLY would carry what it asks for. */
static void feed_ask(void *context)
{
    struct feed *feed = context;
    bool poll = feed->state == FEED_FEEDING;
    if ((feed->state != FEED_ASKING && !poll) || feed->asked || feed->calls_count > 0)
        return;
    if (poll && !feed_has_to_poll(feed))
        return;
    uint64_t deadline_ms = loop_now_ms(feed->options.loop) + ASK_MS_MAX;
    feed->asked =
        !bus_call(feed->client, PROTO_STORE_STATUS, NULL, deadline_ms, feed_on_status, feed);
    if (feed->asked)
        feed_on_asked(feed);
    else
        loop_timer_set(feed->options.loop, &feed->ask_timer,
                       loop_now_ms(feed->options.loop) + BUSY_PAUSE_MS, feed_ask, feed);
}

/* Stops feeding; asks once the calls in flight have come to their ends. */
static void feed_resync(struct feed *feed, unsigned pause_ms)
{
    if (feed->state == FEED_DOWN)
        return;
    feed->state = FEED_ASKING;
    if (feed->calls_count == 0)
        loop_timer_set(feed->options.loop, &feed->ask_timer,
                       loop_now_ms(feed->options.loop) + pause_ms, feed_ask, feed);
}

void feed_ask_anew(struct feed *feed)
{
    feed_resync(feed, 0);
}

bool feed_hold(struct feed *feed)
{
    if (feed->state != FEED_FEEDING || feed->calls_count > 0)
        return false;
    feed->state = FEED_HELD;
    return true;
}

struct bus_client *feed_storaged(struct feed *feed)
{
    return feed->client;
}

/* ---- emptying the store ---- */

static void feed_on_emptied(void *context, enum bus_end end, uint16_t type,
                            struct wire_reader *body)
{
    struct feed *feed = context;
    struct install_reply reply = {.status = PROTO_STATUS_UNKNOWN};
    if (feed->state != FEED_EMPTYING || end == BUS_PEER_GONE)
        return;
    bool ok = end == BUS_REPLIED && type == PROTO_INSTALL_OK && !install_ok_decode(body, &reply) &&
              reply.status == PROTO_STATUS_OK;
    if (!ok)
        logger_warning("store_not_emptied", "status=%s", proto_status_name(reply.status));
    feed_resync(feed, ok ? 0 : ASK_MS_MAX);
}

static void feed_on_emptying(void *context, enum bus_end end, uint16_t type,
                             struct wire_reader *body)
{
    (void)context; /* if it was refused, so is the END behind it */
    (void)end;
    (void)type;
    (void)body;
}

/* An install of nothing. */
static void feed_empty_store(struct feed *feed)
{
    static const struct install_begin begin;
    static const struct install_end end;
    struct buffer body = {0};
    uint64_t deadline_ms = loop_now_ms(feed->options.loop) + FEED_APPLY_MS_MAX;
    feed->state = FEED_EMPTYING;
    install_begin_encode(&body, &begin);
    int code =
        bus_call(feed->client, PROTO_INSTALL_BEGIN, &body, deadline_ms, feed_on_emptying, feed);
    body.length = 0;
    install_end_encode(&body, &end);
    if (!code)
        code = bus_call(feed->client, PROTO_INSTALL_END, &body, deadline_ms, feed_on_emptied, feed);
    if (code)
        feed_resync(feed, ASK_MS_MAX);
    buffer_free(&body);
}

/* ---- APPLY ---- */

static bool feed_on_applied(struct feed *feed, const struct feed_call *call, uint16_t type,
                            struct wire_reader *body, uint16_t *ret_status)
{
    struct applied_head head;
    struct message_list list;
    const uint8_t *result;
    size_t result_bytes;
    if (type != PROTO_APPLIED || applied_decode(body, &head, &list))
        return false;
    *ret_status = head.status;
    if (head.status != PROTO_STATUS_OK || list.left > call->count)
        return false;
    bool is_whole = list.left == call->count; /* else the results were too large for one answer */
    for (uint64_t index = call->first_index; applied_next(&list, &result, &result_bytes); index++)
        proposals_on_applied(feed->options.proposals, index, result, result_bytes);
    feed_note(feed, head.applied_index, head.durable_index, head.health);
    struct peer_state state = {.applied_index = head.applied_index, .mark_index = head.mark_index};
    memcpy(state.hash, head.state_hash, sizeof(state.hash));
    memcpy(state.mark_hash, head.mark_hash, sizeof(state.mark_hash));
    feed->options.on_applied(feed->options.context, &state);
    feed->was_short = !is_whole;
    return is_whole;
}

static void feed_on_reply(void *context, enum bus_end end, uint16_t type, struct wire_reader *body)
{
    struct feed_call *place = context, call = *place;
    struct feed *feed = call.feed;
    uint16_t status = PROTO_STATUS_OK;
    place->feed = NULL;
    feed->calls_count--;
    if (end == BUS_REPLIED)
        feed_on_heard(feed);
    if (end == BUS_PEER_GONE)
        return; /* the edge is going down: feed_on_down follows */
    if (end == BUS_REPLIED && feed_on_applied(feed, &call, type, body, &status) &&
        feed->state == FEED_FEEDING)
        return;
    feed_resync(feed, status == PROTO_STATUS_BUSY ? BUSY_PAUSE_MS : 0);
}

static bool feed_add_record(void *context, const struct record *record)
{
    struct feed *feed = context;
    struct apply_entry entry = {.term = record->term,
                                .kind = record->kind,
                                .data = record->data,
                                .data_bytes = record->data_bytes};
    apply_add(&feed->apply, &entry);
    return feed->apply.length < LIMIT_BATCH_BYTES_SOFT &&
           apply_count(&feed->apply) < LIMIT_BATCH_RECORDS_MAX;
}

/* One APPLY from next_index on. False if it could not be sent. */
static bool feed_send(struct feed *feed, uint64_t commit_index)
{
    apply_begin(&feed->apply, feed->next_index);
    int code = log_read(consensus_log(feed->options.consensus), feed->next_index, commit_index,
                        feed_add_record, feed);
    if (code) {
        struct error error;
        (void)error_set_errno(&error, code, "cannot read the log in raft/");
        feed->options.on_failed(feed->options.context, code, &error);
        return false;
    }
    struct feed_call *call = feed->calls;
    while (call->feed)
        call++; /* the caller saw that one is free */
    *call = (struct feed_call){
        .feed = feed, .first_index = feed->next_index, .count = apply_count(&feed->apply)};
    uint64_t deadline_ms = loop_now_ms(feed->options.loop) + FEED_APPLY_MS_MAX;
    if (bus_call(feed->client, PROTO_APPLY, &feed->apply, deadline_ms, feed_on_reply, call)) {
        call->feed = NULL;
        return false;
    }
    feed->calls_count++;
    feed_on_asked(feed);
    feed->next_index += apply_count(&feed->apply);
    return true;
}

void feed_flush(struct feed *feed)
{
    uint64_t commit_index = consensus_apply_index(feed->options.consensus);
    bool sent = false;
    while (feed->state == FEED_FEEDING && consensus_is_running(feed->options.consensus) &&
           feed->next_index <= commit_index && feed->calls_count < FEED_CALLS_MAX &&
           !(sent && feed->apply.length < LIMIT_BATCH_BYTES_SOFT)) {
        sent = feed_send(feed, commit_index);
        if (!sent)
            break;
    }
    buffer_clear(&feed->apply, 2 * LIMIT_BATCH_BYTES_SOFT);
}

/* ---- the edge ---- */

static int feed_on_welcome(void *context, struct wire_reader *body, uint64_t *ret_epoch)
{
    struct feed *feed = context;
    struct hello peer;
    struct error error = {""};
    char reason[ERROR_TEXT_BYTES + 8];
    int code = hello_decode(body, &peer);
    if (!code)
        code = hello_check(feed->options.hello, &peer, PROTO_ROLE_STORAGED, &error);
    if (code)
        logger_error("storaged_refused", "reason=%s",
                     logger_quoted(reason, sizeof(reason), error.text));
    else
        *ret_epoch = peer.boot_epoch;
    return code;
}

static void feed_on_up(void *context)
{
    struct feed *feed = context;
    feed->state = FEED_ASKING;
    logger_info("storaged_up", "calls_in_flight=%u", feed->calls_count);
    feed_ask(feed);
}

static void feed_on_down(void *context)
{
    struct feed *feed = context;
    feed->state = FEED_DOWN;
    feed->asked = false;
    feed->silent_since_ms = 0;
    feed->down_since_ms = loop_now_ms(feed->options.loop);
    loop_timer_cancel(feed->options.loop, &feed->ask_timer);
    logger_warning("storaged_away", "applied_index=%llu", (unsigned long long)feed->applied_index);
}

int feed_new(struct feed **ret_feed, const struct feed_options *options, struct error *error)
{
    struct feed *feed = memory_new_zeroed(1, sizeof(*feed));
    struct buffer hello = {0};
    feed->options = *options;
    feed->down_since_ms = loop_now_ms(options->loop);
    hello_encode(&hello, options->hello);
    struct bus_client_options client = {
        .loop = options->loop,
        .url = DATADIR_STORAGED_URL,
        .hello = hello.bytes,
        .hello_bytes = hello.length,
        .on_welcome = feed_on_welcome,
        .on_up = feed_on_up,
        .on_down = feed_on_down,
        .context = feed,
    };
    int code = bus_client_new(&feed->client, &client, error);
    buffer_free(&hello);
    if (code) {
        free(feed);
        return code;
    }
    *ret_feed = feed;
    return 0;
}

void feed_free(struct feed *feed)
{
    if (!feed)
        return;
    loop_timer_cancel(feed->options.loop, &feed->ask_timer);
    bus_client_free(feed->client);
    buffer_free(&feed->apply);
    free(feed);
}

bool feed_is_up(const struct feed *feed)
{
    return feed->state != FEED_DOWN;
}

bool feed_is_hopeful(const struct feed *feed)
{
    uint64_t now_ms = loop_now_ms(feed->options.loop);
    if (!feed_is_up(feed))
        return now_ms - feed->down_since_ms < FEED_GRACE_MS;
    return !feed->silent_since_ms || now_ms - feed->silent_since_ms < FEED_SILENCE_MS_MAX;
}

uint64_t feed_applied_index(const struct feed *feed)
{
    return feed->applied_index;
}

uint64_t feed_durable_index(const struct feed *feed)
{
    return feed->durable_index;
}
