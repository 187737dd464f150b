#include "../unit.h"

#include "bus.h"
#include "clock.h"
#include "frame.h"
#include "limits.h"

#include <errno.h>
#include <nng/nng.h>
#include <nng/protocol/reqrep0/req.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Both ends run on one loop; nng starts inside the test, so after Check's fork. */

#define TYPE_ECHO 100u
#define TYPE_SILENCE 101u
#define TYPE_REPLY 102u

static struct loop *loop;
static char url[64];
static struct bus_server *server;
static struct bus_client *client;
static uint64_t welcome_epoch;
static unsigned ups, downs, replied, timed_out, gone, requests;
static char last_reply[16];

static int on_hello(void *context, struct wire_reader *body, uint32_t *ret_peer,
                    struct buffer *welcome, struct error *error)
{
    (void)context;
    if (wire_get_u8(body) != 'h')
        return error_set(error, -EPROTO, "not h");
    *ret_peer = 5;
    wire_put_u64(welcome, welcome_epoch);
    return 0;
}

static void on_request(void *context, struct bus_request *request)
{
    struct buffer reply = {0};
    (void)context;
    requests++;
    ck_assert_uint_eq(request->peer, 5);
    if (request->type == TYPE_ECHO) {
        buffer_append(&reply, request->body.at, request->body.left);
        bus_reply(server, &request->route, TYPE_REPLY, &reply);
    }
    buffer_free(&reply);
}

static int on_welcome(void *context, struct wire_reader *body, uint64_t *ret_epoch)
{
    (void)context;
    *ret_epoch = wire_get_u64(body);
    return wire_finished(body) ? 0 : -EPROTO;
}

static void on_up(void *context)
{
    (void)context;
    ups++;
}

static void on_down(void *context)
{
    (void)context;
    downs++;
}

static void on_reply(void *context, enum bus_end end, uint16_t type, struct wire_reader *body)
{
    (void)context;
    if (end == BUS_REPLIED) {
        ck_assert_uint_eq(type, TYPE_REPLY);
        snprintf(last_reply, sizeof(last_reply), "%.*s", (int)body->left, (const char *)body->at);
    }
    replied += end == BUS_REPLIED;
    timed_out += end == BUS_TIMED_OUT;
    gone += end == BUS_PEER_GONE;
}

static void start_server(uint64_t epoch)
{
    struct error error = {""};
    struct bus_server_options options = {
        .loop = loop, .url = url, .epoch = epoch, .on_hello = on_hello, .on_request = on_request};
    welcome_epoch = epoch;
    ck_assert_msg(bus_server_new(&server, &options, &error) == 0, "%s", error.text);
}

static void start_client(void)
{
    struct error error = {""};
    struct bus_client_options options = {.loop = loop,
                                         .url = url,
                                         .hello = (const uint8_t *)"h",
                                         .hello_bytes = 1,
                                         .on_welcome = on_welcome,
                                         .on_up = on_up,
                                         .on_down = on_down};
    ck_assert_msg(bus_client_new(&client, &options, &error) == 0, "%s", error.text);
}

static void start_loop(void)
{
    ck_assert_int_eq(loop_new(&loop), 0);
    snprintf(url, sizeof(url), "ipc:///tmp/conure-test-bus-%d.sock", getpid());
}

#define WAIT_FOR(condition)                                                                        \
    do {                                                                                           \
        uint64_t until_ms = clock_monotonic_ms() + 10000;                                          \
        while (!(condition) && clock_monotonic_ms() < until_ms)                                    \
            loop_turn(loop, 50);                                                                   \
        ck_assert_msg(condition, "waited 10 s for " #condition);                                   \
    } while (0)

static int call(uint16_t type, const char *text, uint64_t wait_ms)
{
    struct buffer body = {0};
    buffer_append(&body, text, strlen(text));
    int code = bus_call(client, type, &body, clock_monotonic_ms() + wait_ms, on_reply, NULL);
    buffer_free(&body);
    return code;
}

static void finish(void)
{
    bus_client_free(client);
    bus_server_free(server);
    loop_free(loop);
    unlink(url + strlen("ipc://"));
}

START_TEST(test_bus_call_before_the_peer_is_down_after_it_is_answered)
{
    start_loop();
    start_client();
    ck_assert_int_eq(call(TYPE_ECHO, "early", 1000), BUS_DOWN);
    start_server(11);
    WAIT_FOR(ups == 1);
    ck_assert_int_eq(call(TYPE_ECHO, "hello", 5000), 0);
    WAIT_FOR(replied == 1);
    ck_assert_str_eq(last_reply, "hello");
    finish();
}
END_TEST

START_TEST(test_bus_silent_peer_ends_the_call_at_its_deadline)
{
    start_loop();
    start_server(11);
    start_client();
    WAIT_FOR(ups == 1);
    uint64_t before_ms = clock_monotonic_ms();
    ck_assert_int_eq(call(TYPE_SILENCE, "", 100), 0);
    WAIT_FOR(timed_out == 1);
    ck_assert_uint_ge(clock_monotonic_ms() - before_ms, 100);
    ck_assert(bus_client_is_up(client));
    finish();
}
END_TEST

START_TEST(test_bus_restarted_peer_ends_calls_as_gone_and_comes_up_again)
{
    start_loop();
    start_server(11);
    start_client();
    WAIT_FOR(ups == 1);
    for (unsigned round = 1; round <= 20; round++) {
        unsigned requests_before = requests;
        ck_assert_int_eq(call(TYPE_SILENCE, "", 60000), 0);
        WAIT_FOR(requests == requests_before + 1);
        bus_server_free(server);
        start_server(11 + round);
        WAIT_FOR(gone == round);
        WAIT_FOR(ups == round + 1);
        ck_assert_uint_eq(downs, round);
        ck_assert_int_eq(call(TYPE_ECHO, "again", 5000), 0);
        WAIT_FOR(replied == round);
    }
    ck_assert_uint_eq(requests, 40); /* no call reached a second process */
    finish();
}
END_TEST

START_TEST(test_bus_calls_in_flight_are_bounded)
{
    start_loop();
    start_server(11);
    start_client();
    WAIT_FOR(ups == 1);
    for (unsigned i = 0; i < LIMIT_BUS_CALLS_MAX; i++) {
        ck_assert(bus_client_has_room(client));
        ck_assert_int_eq(call(TYPE_SILENCE, "", 300), 0);
    }
    ck_assert(!bus_client_has_room(client));
    ck_assert_int_eq(call(TYPE_ECHO, "", 300), BUS_FULL);
    WAIT_FOR(timed_out == LIMIT_BUS_CALLS_MAX);
    ck_assert(bus_client_has_room(client));
    finish();
}
END_TEST

/* A process that speaks nng but not the bus. */
static void send_raw(nng_socket socket, const void *bytes, size_t length)
{
    nng_msg *message;
    ck_assert_int_eq(nng_msg_alloc(&message, 0), 0);
    ck_assert_int_eq(nng_msg_append(message, bytes, length), 0);
    ck_assert_int_eq(nng_msg_header_append_u32(message, 0x80000001u), 0);
    ck_assert_int_eq(nng_sendmsg(socket, message, 0), 0);
}

START_TEST(test_bus_damaged_ungreeted_and_stale_frames_are_refused)
{
    uint8_t bytes[FRAME_HEADER_BYTES];
    nng_socket rogue;
    start_loop();
    start_server(11);
    ck_assert_int_eq(nng_req0_open_raw(&rogue), 0);
    ck_assert_int_eq(nng_dial(rogue, url, NULL, 0), 0);
    send_raw(rogue, "nonsense", 8);
    WAIT_FOR(bus_server_counters(server).refused == 1);
    struct frame frame = {.type = TYPE_ECHO, .correlation = 1, .epoch = 11};
    frame_encode_header(&frame, bytes);
    send_raw(rogue, bytes, sizeof(bytes)); /* right, but no HELLO before it */
    WAIT_FOR(bus_server_counters(server).refused == 2);
    frame.epoch = 10;
    frame_encode_header(&frame, bytes);
    send_raw(rogue, bytes, sizeof(bytes)); /* for the process before this one */
    WAIT_FOR(bus_server_counters(server).refused == 3);
    bytes[8] ^= 1;
    send_raw(rogue, bytes, sizeof(bytes));
    WAIT_FOR(bus_server_counters(server).refused == 4);
    ck_assert_uint_eq(requests, 0);
    start_client(); /* and the service goes on */
    WAIT_FOR(ups == 1);
    ck_assert_int_eq(call(TYPE_ECHO, "fine", 5000), 0);
    WAIT_FOR(replied == 1);
    nng_close(rogue);
    finish();
}
END_TEST

START_TEST(test_bus_forgotten_caller_greets_again)
{
    nng_socket others[LIMIT_BUS_PEERS_MAX];
    uint8_t bytes[FRAME_HEADER_BYTES + 1];
    struct frame hello = {.type = FRAME_TYPE_HELLO, .body = (const uint8_t *)"h", .body_bytes = 1};
    frame_encode_header(&hello, bytes);
    bytes[FRAME_HEADER_BYTES] = 'h';
    start_loop();
    start_server(11);
    start_client();
    WAIT_FOR(ups == 1);
    for (unsigned i = 0; i < LIMIT_BUS_PEERS_MAX; i++) {
        nng_msg *welcome = NULL;
        ck_assert_int_eq(nng_req0_open_raw(&others[i]), 0);
        ck_assert_int_eq(nng_dial(others[i], url, NULL, 0), 0);
        send_raw(others[i], bytes, sizeof(bytes));
        WAIT_FOR(welcome || nng_recvmsg(others[i], &welcome, NNG_FLAG_NONBLOCK) == 0);
        nng_msg_free(welcome);
    }
    ck_assert_int_eq(call(TYPE_ECHO, "lost", 5000), 0);
    WAIT_FOR(ups == 2);
    ck_assert_uint_eq(gone, 1);
    ck_assert_int_eq(call(TYPE_ECHO, "found", 5000), 0);
    WAIT_FOR(replied == 1);
    for (unsigned i = 0; i < LIMIT_BUS_PEERS_MAX; i++)
        nng_close(others[i]);
    finish();
}
END_TEST

UNIT_MAIN("bus", test_bus_call_before_the_peer_is_down_after_it_is_answered,
          test_bus_silent_peer_ends_the_call_at_its_deadline,
          test_bus_restarted_peer_ends_calls_as_gone_and_comes_up_again,
          test_bus_calls_in_flight_are_bounded,
          test_bus_damaged_ungreeted_and_stale_frames_are_refused,
          test_bus_forgotten_caller_greets_again)
