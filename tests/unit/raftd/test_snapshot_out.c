#include "../unit.h"

#include "buffer.h"
#include "message.h"
#include "snapshot.h"
#include "snapshot_out.h"

#include <stdio.h>
#include <string.h>

/* A stream against a storaged, a member and a core that are this file: every call can be refused,
 * lost, late, or answered with anything. Nothing of nng is here. */

#define MEMBER 9u
#define VIEW 5u
#define INDEX 100u
#define PARTS_MAX 40u
#define PENDING_MAX 16u

enum fault { FAULT_NONE, NOT_SENT, TIMED_OUT, GONE, WRONG_TYPE, CUT_SHORT, BAD_STATUS, FAULTS };

static struct loop *loop;
static struct snapshot_out *out;
static struct raft raft = {.self = 1, .hard_state = {.term = 4}};
static struct membership membership = {.count = 1, .numbers = {MEMBER}, .servers = {{.id = "n9"}}};

static struct pending {
    bus_reply_fn *fn; /* NULL: free */
    void *context;
    bool to_member;
    uint16_t type;
    uint64_t order;
    enum fault fault;
    struct buffer body;
} pending[PENDING_MAX];

static struct {
    unsigned calls, fault_at; /* the call it happens to, from 1; 0: to none */
    enum fault fault;
    unsigned parts;
    size_t part_bytes[PARTS_MAX];
    unsigned parts_read, parts_given, window;
    size_t window_bytes, window_bytes_max;
    unsigned opened, closed, begun, ended, sent_ok, sent_failed;
    bool failed; /* consensus knows */
} world;

/* ---- the fakes ---- */

struct bus_client *feed_storaged(struct feed *feed)
{
    return (struct bus_client *)feed;
}

const struct raft *consensus_raft(const struct consensus *consensus)
{
    (void)consensus;
    return &raft;
}

const struct membership *consensus_membership(const struct consensus *consensus)
{
    (void)consensus;
    return &membership;
}

void consensus_snapshot_sent(struct consensus *consensus, uint64_t member, uint64_t index, bool ok)
{
    (void)consensus;
    ck_assert_uint_eq(member, MEMBER);
    ck_assert(!snapshot_out_is_sending(out, MEMBER));
    ck_assert(!ok || index == INDEX);
    world.sent_ok += ok;
    world.sent_failed += !ok;
    world.failed = world.failed || !ok;
}

static int call(bool to_member, uint16_t type, const struct buffer *body, bus_reply_fn *fn,
                void *context)
{
    struct pending *place = pending;
    enum fault fault = ++world.calls == world.fault_at ? world.fault : FAULT_NONE;
    if (fault == NOT_SENT)
        return BUS_DOWN;
    while (place->fn)
        place++;
    ck_assert(place < pending + PENDING_MAX);
    *place = (struct pending){.fn = fn,
                              .context = context,
                              .to_member = to_member,
                              .type = type,
                              .order = world.calls,
                              .fault = fault};
    buffer_append(&place->body, body->bytes, body->length);
    return 0;
}

int bus_call(struct bus_client *client, uint16_t type, const struct buffer *body,
             uint64_t deadline_ms, bus_reply_fn *fn, void *context)
{
    (void)client;
    (void)deadline_ms;
    return call(false, type, body, fn, context);
}

static void member_looks(uint16_t type, const struct buffer *body);

int peers_call(struct peers *peers, uint64_t number, uint16_t type, const struct buffer *body,
               uint64_t deadline_ms, bus_reply_fn *fn, void *context)
{
    (void)peers;
    (void)deadline_ms;
    ck_assert_uint_eq(number, MEMBER);
    ck_assert_msg(!world.failed, "a stream that failed goes on");
    int code = call(true, type, body, fn, context);
    if (!code)
        member_looks(type, body);
    return code;
}

/* ---- storaged and the member ---- */

/* The part's bytes: any, but for the count where a part has it. */
static void make_part(struct buffer *into, unsigned part)
{
    wire_put_u32(into, part * 7);
    wire_put_u32(into, part + 1);
    while (into->length < world.part_bytes[part])
        wire_put_u8(into, (uint8_t)(part + into->length));
}

static void member_takes_part(struct wire_reader *body)
{
    struct buffer want = {0};
    uint32_t part;
    ck_assert_int_eq(install_part_decode(body, &part), 0);
    ck_assert_uint_eq(part, world.parts_given++);
    make_part(&want, part);
    ck_assert_uint_eq(body->left, want.length);
    ck_assert_mem_eq(body->at, want.bytes, want.length);
    world.window_bytes += want.length;
    if (world.window_bytes > world.window_bytes_max)
        world.window_bytes_max = world.window_bytes;
    ck_assert_uint_le(++world.window, SNAPSHOT_OUT_WINDOW);
    buffer_free(&want);
}

static void member_looks(uint16_t type, const struct buffer *bytes)
{
    struct wire_reader body = wire_reader_of(bytes->bytes, bytes->length);
    struct snapshot_begin begin;
    struct install_end end;
    if (type == PROTO_SNAPSHOT_BEGIN_TO) {
        world.begun++;
        ck_assert_int_eq(snapshot_begin_decode(&body, &begin), 0);
        ck_assert(begin.index == INDEX && begin.term == 3 && begin.leader_term == 4);
    } else if (type == PROTO_SNAPSHOT_PART_TO) {
        member_takes_part(&body);
    } else {
        ck_assert_uint_eq(type, PROTO_SNAPSHOT_END_TO);
        world.ended++;
        ck_assert_uint_eq(world.parts_given, world.parts);
        ck_assert_uint_eq(world.window, 0);
        ck_assert_int_eq(install_end_decode(&body, &end), 0);
        ck_assert(end.index == INDEX && end.term == 3 && end.keys == 77 && end.state_hash[3] == 8);
        ck_assert_uint_eq(end.configuration_bytes, 4);
        ck_assert_mem_eq(end.configuration, "conf", 4);
    }
}

static uint16_t storaged_opens(struct buffer *reply, uint16_t status)
{
    struct snapshot_opened opened = {.status = status,
                                     .view = VIEW,
                                     .index = INDEX,
                                     .term = 3,
                                     .keys = 77,
                                     .state_hash = {[3] = 8},
                                     .configuration = (const uint8_t *)"conf",
                                     .configuration_bytes = 4};
    world.opened += status == PROTO_STATUS_OK;
    snapshot_opened_encode(reply, &opened);
    return PROTO_SNAPSHOT_OPENED;
}

static uint16_t storaged_reads(struct wire_reader *body, struct buffer *reply, uint16_t status)
{
    struct snapshot_read read;
    ck_assert_int_eq(snapshot_read_decode(body, &read), 0);
    ck_assert_uint_eq(read.view, VIEW);
    ck_assert_uint_eq(read.part, world.parts_read++);
    ck_assert_uint_lt(read.part, world.parts);
    wire_put_u16(reply, status);
    wire_put_u8(reply, read.part + 1 == world.parts);
    struct buffer part = {0};
    make_part(&part, read.part);
    wire_put_bytes(reply, part.bytes, part.length);
    buffer_free(&part);
    return PROTO_SNAPSHOT_PART;
}

static uint16_t reply_of(struct pending *call_, struct buffer *reply)
{
    struct wire_reader body = wire_reader_of(call_->body.bytes, call_->body.length);
    uint16_t status = call_->fault == BAD_STATUS ? PROTO_STATUS_TIMEOUT : PROTO_STATUS_OK;
    uint64_t view;
    if (call_->type == PROTO_SNAPSHOT_OPEN)
        return storaged_opens(reply, status);
    if (call_->type == PROTO_SNAPSHOT_READ)
        return storaged_reads(&body, reply, status);
    if (call_->type == PROTO_SNAPSHOT_CLOSE) {
        ck_assert_int_eq(snapshot_close_decode(&body, &view), 0);
        ck_assert_uint_eq(view, VIEW);
        world.closed++;
        return PROTO_SNAPSHOT_CLOSED;
    }
    install_ok_encode(reply, &(struct install_reply){.status = status, .reason = ""});
    return PROTO_SNAPSHOT_TAKEN;
}

/* Ends the call as its fault says. */
static void answer(struct pending *place)
{
    struct pending call_ = *place;
    struct buffer reply = {0};
    place->fn = NULL;
    if (call_.type == PROTO_SNAPSHOT_PART_TO) {
        world.window--;
        world.window_bytes -= call_.body.length - 4;
    }
    if (call_.fault == TIMED_OUT || call_.fault == GONE) {
        call_.fn(call_.context, call_.fault == GONE ? BUS_PEER_GONE : BUS_TIMED_OUT, 0, NULL);
    } else {
        uint16_t type = reply_of(&call_, &reply);
        size_t length = call_.fault == CUT_SHORT && reply.length ? 1 : reply.length;
        struct wire_reader body = wire_reader_of(reply.bytes, length);
        call_.fn(call_.context, BUS_REPLIED, call_.fault == WRONG_TYPE ? PROTO_REFUSED : type,
                 &body);
    }
    buffer_free(&reply);
    buffer_free(&call_.body);
}

/* The oldest call of one of the two edges: each answers in order. */
static struct pending *oldest(bool to_member)
{
    struct pending *found = NULL;
    for (struct pending *place = pending; place < pending + PENDING_MAX; place++)
        if (place->fn && place->to_member == to_member && (!found || place->order < found->order))
            found = place;
    return found;
}

/* Until nothing is under way; `slow_member`: it answers when storaged has nothing more to do. */
static void run(bool slow_member)
{
    for (;;) {
        struct pending *place = oldest(!slow_member);
        if (!place)
            place = oldest(slow_member);
        if (!place)
            return;
        answer(place);
    }
}

static void begin(unsigned parts, size_t part_bytes)
{
    memset(&world, 0, sizeof(world));
    world.parts = parts;
    for (unsigned i = 0; i < parts; i++)
        world.part_bytes[i] = part_bytes;
    ck_assert_int_eq(loop_new(&loop), 0);
    loop_turn(loop, 0);
    out = snapshot_out_new(&(struct snapshot_out_options){.loop = loop, .feed = (void *)1});
}

static void end(void)
{
    snapshot_out_free(out);
    loop_free(loop);
    for (unsigned i = 0; i < PENDING_MAX; i++)
        if (pending[i].fn)
            buffer_free(&pending[i].body);
    memset(pending, 0, sizeof(pending));
}

START_TEST(test_snapshot_out_whole_stream_in_order)
{
    for (unsigned slow = 0; slow < 2; slow++) {
        begin(PARTS_MAX, 1000);
        ck_assert_uint_eq(snapshot_out_hold_index(out), UINT64_MAX);
        snapshot_out_begin(out, MEMBER);
        ck_assert(snapshot_out_is_sending(out, MEMBER));
        ck_assert(!snapshot_out_is_sending(out, MEMBER + 1));
        unsigned calls = world.calls;
        snapshot_out_begin(out, MEMBER); /* one is under way */
        snapshot_out_begin(out, MEMBER + 1);
        ck_assert_uint_eq(world.calls, calls);
        answer(oldest(false));
        ck_assert_uint_eq(snapshot_out_hold_index(out), INDEX);
        run(slow);
        ck_assert_uint_eq(world.sent_ok, 1);
        ck_assert_uint_eq(world.sent_failed, 0);
        ck_assert_uint_eq(world.ended, 1);
        ck_assert_uint_eq(world.closed, 1);
        ck_assert_uint_eq(snapshot_out_hold_index(out), INDEX); /* until the member goes on */
        end();
    }
}
END_TEST

START_TEST(test_snapshot_out_large_parts_go_alone)
{
    begin(PARTS_MAX, 300000);
    world.part_bytes[3] = world.part_bytes[4] = 17u << 20;
    world.part_bytes[20] = 17u << 20;
    snapshot_out_begin(out, MEMBER);
    run(true);
    ck_assert_uint_eq(world.sent_ok, 1);
    ck_assert_uint_lt(world.window_bytes_max, (17u << 20) + SNAPSHOT_OUT_WINDOW_BYTES);
    end();
}
END_TEST

/* Every call, and every way it can fail. */
START_TEST(test_snapshot_out_any_failure_ends_it_once_and_gives_all_back)
{
    begin(6, 100);
    snapshot_out_begin(out, MEMBER);
    run(false);
    unsigned calls = world.calls, tried = 0;
    end();
    for (unsigned at = 1; at <= calls; at++)
        for (enum fault fault = NOT_SENT; fault < FAULTS; fault++) {
            bool slow = (at + fault) % 2;
            begin(6, 100);
            world.fault_at = at;
            world.fault = fault;
            snapshot_out_begin(out, MEMBER);
            run(slow);
            bool is_close = world.sent_ok; /* the last call is CLOSE: its answer is nobody's */
            ck_assert_msg(world.sent_ok + world.sent_failed == 1, "call %u, fault %u: %u, %u", at,
                          fault, world.sent_ok, world.sent_failed);
            ck_assert(!snapshot_out_is_sending(out, MEMBER));
            if (!is_close && world.opened && world.fault_at > 1)
                ck_assert_uint_eq(world.closed, 1);
            unsigned before = world.calls;
            snapshot_out_begin(out, MEMBER); /* not at once */
            ck_assert(is_close || world.calls == before);
            tried += !is_close;
            end();
        }
    ck_assert_uint_gt(tried, 6 * 10);
}
END_TEST

START_TEST(test_snapshot_out_stopped_anywhere_says_nothing_more)
{
    for (unsigned after = 0; after < 20; after++) {
        begin(6, 100);
        snapshot_out_begin(out, MEMBER);
        for (unsigned i = 0; i < after; i++) {
            struct pending *place = oldest(i % 2);
            place = place ? place : oldest(!(i % 2));
            if (place)
                answer(place);
        }
        bool was_through = world.sent_ok;
        snapshot_out_stop_all(out);
        world.failed = true; /* no call to the member from here on */
        ck_assert(!snapshot_out_is_sending(out, MEMBER));
        if (after % 3)
            run(false); /* else freed with calls under way */
        ck_assert_uint_eq(world.sent_ok + world.sent_failed, was_through);
        if (!was_through)
            ck_assert_uint_eq(snapshot_out_hold_index(out), UINT64_MAX);
        end();
    }
}
END_TEST

UNIT_MAIN("snapshot_out", test_snapshot_out_whole_stream_in_order,
          test_snapshot_out_large_parts_go_alone,
          test_snapshot_out_any_failure_ends_it_once_and_gives_all_back,
          test_snapshot_out_stopped_anywhere_says_nothing_more)
