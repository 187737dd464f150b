#include "../unit.h"

#include "buffer.h"
#include "message.h"
#include "snapshot.h"
#include "snapshot_in.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Parts that come in, with a storaged, a leader and a core that are this file. What is looked at:
 * each call of the leader is answered once, storaged gets what it sent unread, and END is answered
 * when it is known what came of it. */

#define LEADER 2u
#define INDEX 100u
#define TERM 3u
#define CALLS_MAX 40u

static struct loop *loop;
static struct snapshot_in *in;
static struct raft raft;

static struct handed {
    bus_reply_fn *fn; /* NULL: free */
    void *context;
    uint16_t type;
    struct buffer body;
} handed[CALLS_MAX];

static struct {
    unsigned handed, heard, asked_anew, noted;
    unsigned answers[CALLS_MAX]; /* by the call's correlation */
    struct install_reply reply;  /* the last */
    bool edge_is_down, is_running;
    int install_code;
} world;

/* ---- the fakes ---- */

struct bus_client *feed_storaged(struct feed *feed)
{
    return (struct bus_client *)feed;
}

void feed_ask_anew(struct feed *feed)
{
    (void)feed;
    world.asked_anew++;
}

const struct raft *consensus_raft(const struct consensus *consensus)
{
    (void)consensus;
    return &raft;
}

bool consensus_is_running(const struct consensus *consensus)
{
    (void)consensus;
    return world.is_running;
}

void consensus_message(struct consensus *consensus, const struct raft_message *message)
{
    (void)consensus;
    ck_assert(message->type == RAFT_SNAPSHOT && message->to == raft.self);
    world.heard++;
    if (message->term < raft.hard_state.term)
        return;
    raft.hard_state.term = message->term;
    raft.leader = message->from;
}

int consensus_install_begin(struct consensus *consensus, uint64_t index, uint64_t term,
                            const uint8_t *configuration, size_t configuration_bytes)
{
    (void)consensus;
    ck_assert(index == INDEX && term == TERM && configuration_bytes == 4);
    ck_assert_mem_eq(configuration, "conf", 4);
    if (world.install_code)
        return world.install_code;
    world.noted++;
    world.is_running = false;
    return 0;
}

int bus_call(struct bus_client *client, uint16_t type, const struct buffer *body,
             uint64_t deadline_ms, bus_reply_fn *fn, void *context)
{
    struct handed *place = handed;
    (void)client;
    (void)deadline_ms;
    if (world.edge_is_down)
        return BUS_DOWN;
    while (place->fn)
        place++;
    *place = (struct handed){.fn = fn, .context = context, .type = type};
    buffer_append(&place->body, body->bytes, body->length);
    world.handed++;
    return 0;
}

void peers_reply(struct peers *peers, const struct bus_route *route, uint16_t type,
                 const struct buffer *body)
{
    struct wire_reader reader = wire_reader_of(body->bytes, body->length);
    (void)peers;
    ck_assert_uint_eq(type, PROTO_SNAPSHOT_TAKEN);
    ck_assert_int_eq(install_ok_decode(&reader, &world.reply), 0);
    ck_assert_uint_eq(++world.answers[route->correlation], 1);
}

/* ---- the leader, and storaged ---- */

/* Frees `body`. */
static int leader_calls(uint64_t from, uint64_t correlation, uint16_t type, struct buffer *body)
{
    struct bus_request request = {.route = {.link = 1, .correlation = correlation},
                                  .type = type,
                                  .body = wire_reader_of(body->bytes, body->length)};
    int code = snapshot_in_on_call(in, from, &request);
    buffer_free(body);
    return code;
}

static int leader_begins(uint64_t from, uint64_t correlation, uint64_t index, uint64_t leader_term)
{
    struct buffer body = {0};
    snapshot_begin_encode(&body, &(struct snapshot_begin){index, TERM, leader_term});
    return leader_calls(from, correlation, PROTO_SNAPSHOT_BEGIN_TO, &body);
}

static int leader_gives(uint64_t from, uint64_t correlation)
{
    struct buffer body = {0};
    wire_put_u32(&body, (uint32_t)correlation);
    wire_put_bytes(&body, "any bytes", 9);
    return leader_calls(from, correlation, PROTO_SNAPSHOT_PART_TO, &body);
}

static int leader_ends(uint64_t from, uint64_t correlation, uint64_t index)
{
    struct buffer body = {0};
    install_end_encode(&body, &(struct install_end){.index = index,
                                                    .term = TERM,
                                                    .keys = 7,
                                                    .configuration = (const uint8_t *)"conf",
                                                    .configuration_bytes = 4});
    return leader_calls(from, correlation, PROTO_SNAPSHOT_END_TO, &body);
}

static struct handed *next_handed(void)
{
    for (unsigned i = 0; i < CALLS_MAX; i++)
        if (handed[i].fn)
            return &handed[i];
    return NULL;
}

static void storaged_ends(enum bus_end end, uint16_t status, const char *reason)
{
    struct handed *place = next_handed(), call = *place;
    struct buffer reply = {0};
    struct install_reply ok = {.status = status};
    ck_assert_ptr_nonnull(place);
    place->fn = NULL;
    snprintf(ok.reason, sizeof(ok.reason), "%s", reason);
    install_ok_encode(&reply, &ok);
    struct wire_reader body = wire_reader_of(reply.bytes, reply.length);
    call.fn(call.context, end, PROTO_INSTALL_OK, end == BUS_REPLIED ? &body : NULL);
    buffer_free(&reply);
    buffer_free(&call.body);
}

static void storaged_takes(uint16_t type)
{
    ck_assert_uint_eq(next_handed()->type, type);
    storaged_ends(BUS_REPLIED, PROTO_STATUS_OK, "");
}

static void begin(void)
{
    memset(&world, 0, sizeof(world));
    world.is_running = true;
    raft = (struct raft){.self = 1, .role = RAFT_FOLLOWER, .hard_state = {.term = 4}};
    ck_assert_int_eq(loop_new(&loop), 0);
    loop_turn(loop, 0);
    in = snapshot_in_new(&(struct snapshot_in_options){.loop = loop, .feed = (void *)1});
}

static void end(void)
{
    snapshot_in_free(in);
    loop_free(loop);
    for (unsigned i = 0; i < CALLS_MAX; i++)
        if (handed[i].fn)
            buffer_free(&handed[i].body);
    memset(handed, 0, sizeof(handed));
}

/* BEGIN taken, and so many parts. */
static void take(unsigned parts)
{
    ck_assert_int_eq(leader_begins(LEADER, 1, INDEX, 4), 0);
    ck_assert_uint_eq(world.answers[1], 0);
    storaged_takes(PROTO_INSTALL_BEGIN);
    for (unsigned i = 0; i < parts; i++) {
        ck_assert_int_eq(leader_gives(LEADER, 2 + i), 0);
        ck_assert_uint_eq(world.answers[2 + i], 0);
        ck_assert_mem_eq(next_handed()->body.bytes + 4, "any bytes", 9);
        storaged_takes(PROTO_INSTALL_PART);
        ck_assert_uint_eq(world.reply.status, PROTO_STATUS_OK);
    }
}

START_TEST(test_snapshot_in_end_is_answered_when_it_is_settled)
{
    for (unsigned is_installed = 0; is_installed < 2; is_installed++) {
        begin();
        take(5);
        ck_assert_int_eq(leader_ends(LEADER, 30, INDEX), 0);
        ck_assert_uint_eq(world.noted, 1);
        if (is_installed)
            storaged_takes(PROTO_INSTALL_END);
        else
            storaged_ends(BUS_REPLIED, PROTO_STATUS_REFUSED, "its state hash");
        ck_assert_uint_eq(world.answers[30], 0);
        ck_assert_uint_eq(world.asked_anew, 1);
        snapshot_in_on_settled(in, is_installed);
        ck_assert_uint_eq(world.answers[30], 1);
        ck_assert_uint_eq(world.reply.status,
                          is_installed ? PROTO_STATUS_OK : PROTO_STATUS_REFUSED);
        ck_assert_str_eq(world.reply.reason, is_installed ? "" : "its state hash");
        snapshot_in_on_settled(in, is_installed); /* of another day */
        ck_assert_uint_eq(world.answers[30], 1);
        end();
    }
}
END_TEST

/* Whatever becomes of the edge, storaged's place decides. */
START_TEST(test_snapshot_in_end_without_an_answer_is_asked_for)
{
    for (unsigned way = 0; way < 3; way++) {
        begin();
        take(1);
        world.edge_is_down = way == 0;
        ck_assert_int_eq(leader_ends(LEADER, 30, INDEX), 0);
        ck_assert_uint_eq(world.noted, 1);
        if (way)
            storaged_ends(way == 1 ? BUS_TIMED_OUT : BUS_PEER_GONE, 0, "");
        ck_assert_uint_eq(world.asked_anew, 1);
        ck_assert_uint_eq(world.answers[30], 0);
        snapshot_in_on_settled(in, way == 1); /* it may have come through */
        ck_assert_uint_eq(world.reply.status, way == 1 ? PROTO_STATUS_OK : PROTO_STATUS_REFUSED);
        end();
    }
}
END_TEST

START_TEST(test_snapshot_in_not_news_or_not_from_the_leader_is_refused)
{
    begin();
    raft.commit_index = INDEX; /* there already */
    ck_assert_int_eq(leader_begins(LEADER, 1, INDEX, 4), 0);
    ck_assert_uint_eq(world.reply.status, PROTO_STATUS_REFUSED);
    raft.commit_index = 0;
    ck_assert_int_eq(leader_begins(LEADER, 2, INDEX, 3), 0); /* of a term that is over */
    ck_assert_uint_eq(world.reply.status, PROTO_STATUS_REFUSED);
    world.is_running = false;
    ck_assert_int_eq(leader_begins(LEADER, 3, INDEX, 4), 0);
    ck_assert_uint_eq(world.reply.status, PROTO_STATUS_REFUSED);
    ck_assert_uint_eq(world.heard, 2 + 1);
    ck_assert_int_eq(leader_gives(LEADER, 4), 0); /* nothing was begun */
    ck_assert_int_eq(leader_ends(LEADER, 5, INDEX), 0);
    ck_assert_uint_eq(world.reply.status, PROTO_STATUS_REFUSED);
    ck_assert_uint_eq(world.handed, 0);
    ck_assert_uint_eq(world.noted, 0);
    end();
}
END_TEST

START_TEST(test_snapshot_in_another_sender_leader_or_end_is_refused)
{
    begin();
    take(2);
    unsigned before = world.handed;
    ck_assert_int_eq(leader_gives(LEADER + 1, 20), 0);
    ck_assert_int_eq(leader_ends(LEADER + 1, 21, INDEX), 0);
    ck_assert_int_eq(leader_ends(LEADER, 22, INDEX + 1), 0);
    raft.leader = LEADER + 1;
    ck_assert_int_eq(leader_gives(LEADER, 23), 0);
    ck_assert_int_eq(leader_ends(LEADER, 24, INDEX), 0);
    for (unsigned i = 20; i < 25; i++)
        ck_assert_uint_eq(world.answers[i], 1);
    ck_assert_uint_eq(world.handed, before);
    ck_assert_uint_eq(world.noted, 0);
    raft.leader = LEADER;
    for (int code = -ESTALE, i = 25; code; code = code == -ESTALE ? -EAGAIN : 0, i++) {
        world.install_code = code;
        ck_assert_int_eq(leader_begins(LEADER, 33 + (uint64_t)i - 25, INDEX, 4), 0);
        storaged_takes(PROTO_INSTALL_BEGIN);
        ck_assert_int_eq(leader_ends(LEADER, (uint64_t)i, INDEX), 0);
        ck_assert_uint_eq(world.reply.status, PROTO_STATUS_UNAVAILABLE);
        ck_assert_int_eq(leader_ends(LEADER, (uint64_t)i + 3, INDEX), 0); /* over */
        ck_assert_uint_eq(world.reply.status, PROTO_STATUS_REFUSED);
    }
    end();
}
END_TEST

START_TEST(test_snapshot_in_storaged_away_or_silent_is_said)
{
    begin();
    world.edge_is_down = true;
    ck_assert_int_eq(leader_begins(LEADER, 1, INDEX, 4), 0);
    ck_assert_uint_eq(world.reply.status, PROTO_STATUS_UNAVAILABLE);
    world.edge_is_down = false;
    memset(world.answers, 0, sizeof(world.answers));
    take(1);
    for (unsigned i = 0; i < 4; i++) /* in flight together */
        ck_assert_int_eq(leader_gives(LEADER, 20 + i), 0);
    storaged_ends(BUS_REPLIED, PROTO_STATUS_NO_SPACE, "full");
    ck_assert_uint_eq(world.reply.status, PROTO_STATUS_NO_SPACE);
    ck_assert_str_eq(world.reply.reason, "full");
    storaged_ends(BUS_TIMED_OUT, 0, "");
    storaged_ends(BUS_PEER_GONE, 0, "");
    ck_assert_uint_eq(world.reply.status, PROTO_STATUS_UNAVAILABLE);
    for (unsigned i = 20; i < 23; i++)
        ck_assert_uint_eq(world.answers[i], 1);
    ck_assert_uint_eq(world.answers[23], 0); /* freed with it under way */
    end();
}
END_TEST

START_TEST(test_snapshot_in_bodies_that_make_no_sense_are_refused)
{
    static const uint16_t types[] = {PROTO_SNAPSHOT_BEGIN_TO, PROTO_SNAPSHOT_END_TO, PROTO_RAFT};
    begin();
    for (unsigned i = 0; i < 3; i++) {
        struct buffer body = {0};
        wire_put_u16(&body, 1);
        ck_assert_int_eq(leader_calls(LEADER, 1, types[i], &body), -EPROTO);
    }
    ck_assert_uint_eq(world.handed, 0);
    end();
}
END_TEST

UNIT_MAIN("snapshot_in", test_snapshot_in_end_is_answered_when_it_is_settled,
          test_snapshot_in_end_without_an_answer_is_asked_for,
          test_snapshot_in_not_news_or_not_from_the_leader_is_refused,
          test_snapshot_in_another_sender_leader_or_end_is_refused,
          test_snapshot_in_storaged_away_or_silent_is_said,
          test_snapshot_in_bodies_that_make_no_sense_are_refused)
