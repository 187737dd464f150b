#include "../unit.h"

#include "bus.h"
#include "clock.h"
#include "frame.h"
#include "limits.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
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
static unsigned ups, downs, replied, timed_out, gone, requests, parted, refused;
static uint64_t silence_ms_max;
static char last_refusal[BUS_REFUSAL_BYTES_MAX];
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

static void on_parted(void *context, uint32_t peer)
{
    (void)context;
    ck_assert_uint_eq(peer, 5);
    parted++;
}

static void on_refused(void *context, const char *text)
{
    (void)context;
    refused++;
    snprintf(last_refusal, sizeof(last_refusal), "%s", text);
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
    struct bus_server_options options = {.loop = loop,
                                         .url = url,
                                         .epoch = epoch,
                                         .on_hello = on_hello,
                                         .on_request = on_request,
                                         .on_parted = on_parted,
                                         .silence_ms_max = silence_ms_max};
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
                                         .on_refused = on_refused,
                                         .on_up = on_up,
                                         .on_down = on_down};
    ck_assert_msg(bus_client_new(&client, &options, &error) == 0, "%s", error.text);
}

static void start_loop(void)
{
    ck_assert_int_eq(loop_new(&loop), 0);
    snprintf(url, sizeof(url), "ipc:///tmp/conure-test-bus-%d.sock", getpid());
}

static struct sockaddr_in tcp_address;

static int tcp_listen(void)
{
    socklen_t bytes = sizeof(tcp_address);
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&tcp_address, sizeof(tcp_address)), 0);
    ck_assert_int_eq(listen(fd, 128), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&tcp_address, &bytes), 0);
    return fd;
}

/* On a port nobody listens on. */
static void start_tcp_loop(void)
{
    ck_assert_int_eq(loop_new(&loop), 0);
    tcp_address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    close(tcp_listen());
    snprintf(url, sizeof(url), "tcp://127.0.0.1:%u", ntohs(tcp_address.sin_port));
}

/* The condition is not looked at again once it was true: it may take what it waits for. */
#define WAIT_FOR(condition)                                                                        \
    do {                                                                                           \
        uint64_t until_ms = clock_monotonic_ms() + 30000;                                          \
        bool is_met = false;                                                                       \
        while (!(is_met = (condition)) && clock_monotonic_ms() < until_ms)                         \
            loop_turn(loop, 50);                                                                   \
        ck_assert_msg(is_met, "waited 30 s for " #condition);                                      \
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

/* ---- peers that are not the bus ---- */

static struct sockaddr_un rogue_address(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", url + strlen("ipc://"));
    return address;
}

static int rogue_connect(void)
{
    struct sockaddr_un address = rogue_address();
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    WAIT_FOR(connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
    return fd;
}

static int rogue_listen(void)
{
    struct sockaddr_un address = rogue_address();
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    unlink(address.sun_path);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    ck_assert_int_eq(listen(fd, 8), 0);
    return fd;
}

/* Returns the frame's bytes. */
static size_t rogue_encode(uint8_t into[FRAME_HEADER_BYTES + 64], uint16_t type,
                           uint64_t correlation, uint64_t epoch, const char *body)
{
    struct frame frame = {.type = type,
                          .correlation = correlation,
                          .epoch = epoch,
                          .body = (const uint8_t *)body,
                          .body_bytes = (uint32_t)strlen(body)};
    frame_encode_header(&frame, into);
    memcpy(into + FRAME_HEADER_BYTES, body, strlen(body));
    return FRAME_HEADER_BYTES + strlen(body);
}

static void rogue_send(int fd, uint16_t type, uint64_t correlation, uint64_t epoch,
                       const char *body)
{
    uint8_t bytes[FRAME_HEADER_BYTES + 64];
    size_t length = rogue_encode(bytes, type, correlation, epoch, body);
    for (size_t i = 0; i < length; i++)
        ck_assert_int_eq(send(fd, bytes + i, 1, MSG_NOSIGNAL), 1); /* in the smallest pieces */
}

static bool rogue_receive(int fd, void *into, size_t bytes)
{
    return recv(fd, into, bytes, MSG_DONTWAIT | MSG_PEEK) == (ssize_t)bytes &&
           recv(fd, into, bytes, MSG_DONTWAIT) == (ssize_t)bytes;
}

/* Welcomes the caller that dials; returns the connection to it. */
static int rogue_welcome(int listener)
{
    uint8_t hello[FRAME_HEADER_BYTES + 1];
    int fd = -1;
    WAIT_FOR((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0);
    WAIT_FOR(rogue_receive(fd, hello, sizeof(hello)));
    rogue_send(fd, FRAME_TYPE_WELCOME, wire_load_u64(hello + 8), 0, "epoch 11");
    return fd;
}

static bool rogue_is_cut(int fd)
{
    char byte;
    ssize_t got = recv(fd, &byte, 1, MSG_DONTWAIT);
    return got == 0 || (got < 0 && errno == ECONNRESET);
}

START_TEST(test_bus_damaged_bytes_cut_the_connection)
{
    static const char damage[] = "nonsense that is no frame, and as long as its header";
    start_loop();
    start_server(11);
    for (unsigned i = 1; i <= 3; i++) {
        uint8_t bytes[FRAME_HEADER_BYTES];
        struct frame frame = {.type = FRAME_TYPE_HELLO, .body = bytes};
        frame.body_bytes = i == 2 ? LIMIT_GREETING_BYTES_MAX + 1 : 0; /* larger than a stranger's */
        if (i == 2)
            frame.body = memory_new_zeroed(1, frame.body_bytes);
        frame_encode_header(&frame, bytes);
        bytes[8] ^= i == 3; /* a flipped bit */
        int fd = rogue_connect();
        ck_assert_int_eq(send(fd, i == 1 ? (const void *)damage : bytes, FRAME_HEADER_BYTES, 0),
                         FRAME_HEADER_BYTES);
        WAIT_FOR(rogue_is_cut(fd));
        ck_assert_uint_eq(bus_server_counters(server).refused, i);
        close(fd);
        if (i == 2)
            free((void *)(uintptr_t)frame.body);
    }
    finish();
}
END_TEST

START_TEST(test_bus_ungreeted_and_stale_frames_are_refused)
{
    uint8_t answer[FRAME_HEADER_BYTES];
    start_loop();
    start_server(11);
    int fd = rogue_connect();
    rogue_send(fd, TYPE_ECHO, 1, 11, ""); /* right, but no HELLO before it */
    WAIT_FOR(bus_server_counters(server).refused == 1);
    WAIT_FOR(rogue_receive(fd, answer, sizeof(answer)));
    ck_assert_uint_eq(wire_load_u16(answer + 6), FRAME_TYPE_REFUSED);
    rogue_send(fd, TYPE_ECHO, 2, 10, ""); /* for the process before this one */
    WAIT_FOR(bus_server_counters(server).refused == 2);
    ck_assert_uint_eq(requests, 0);
    start_client(); /* and the service goes on */
    WAIT_FOR(ups == 1);
    ck_assert_int_eq(call(TYPE_ECHO, "fine", 5000), 0);
    WAIT_FOR(replied == 1);
    close(fd);
    finish();
}
END_TEST

/* Peers that vanish in the middle of connecting: what a kill -9 at the wrong moment does. */
START_TEST(test_bus_listener_hears_after_callers_that_vanish)
{
    start_loop();
    start_server(11);
    for (unsigned i = 0; i < 300; i++) {
        int fd = rogue_connect();
        if (i % 3 == 1)
            ck_assert_int_eq(send(fd, "CNRF", 4, 0), 4);
        close(fd);
        if (i % 3 == 2)
            loop_turn(loop, 0);
    }
    start_client();
    WAIT_FOR(ups == 1);
    ck_assert_int_eq(call(TYPE_ECHO, "heard", 5000), 0);
    WAIT_FOR(replied == 1);
    finish();
}
END_TEST

START_TEST(test_bus_caller_dials_on_after_callees_that_vanish)
{
    start_loop();
    start_client();
    for (unsigned i = 0; i < 30; i++) {
        int accepted = -1, fd = rogue_listen();
        if (i % 3) {
            WAIT_FOR((accepted = accept4(fd, NULL, NULL, SOCK_CLOEXEC)) >= 0);
        } else {
            loop_turn(loop, 20); /* closed with the caller waiting in the backlog, or about to */
        }
        if (i % 3 == 2)
            rogue_send(accepted, FRAME_TYPE_REFUSED, 1, 0, "");
        if (accepted >= 0)
            close(accepted);
        close(fd);
    }
    unlink(url + strlen("ipc://"));
    start_server(11);
    WAIT_FOR(ups == 1);
    ck_assert_int_eq(call(TYPE_ECHO, "found", 5000), 0);
    WAIT_FOR(replied == 1);
    finish();
}
END_TEST

/* An answer that was sent counts, even if the callee dies at once with frames it never read: a
 * reset, not an end. Often, for what nng sees first is a matter of luck. */
START_TEST(test_bus_answers_of_a_dead_callee_count)
{
    uint8_t frame[FRAME_HEADER_BYTES + 1];
    uint8_t answers[2 * (FRAME_HEADER_BYTES + 64)];
    start_loop();
    int listener = rogue_listen();
    start_client();
    for (unsigned round = 1; round <= 100; round++) {
        int fd = rogue_welcome(listener);
        WAIT_FOR(ups == round);
        for (unsigned i = 0; i < 3; i++)
            ck_assert_int_eq(call(TYPE_ECHO, "?", 5000), 0);
        WAIT_FOR(rogue_receive(fd, frame, sizeof(frame)));
        uint64_t first = wire_load_u64(frame + 8);
        size_t length = rogue_encode(answers, TYPE_REPLY, first, 0, "answer");
        length += rogue_encode(answers + length, TYPE_REPLY, first + 1, 0, "answer");
        ck_assert_int_eq(send(fd, answers, length, MSG_NOSIGNAL), (ssize_t)length);
        close(fd);
        WAIT_FOR(gone == round);
        ck_assert_uint_eq(replied, 2 * round);
        ck_assert_uint_eq(downs, round);
    }
    close(listener);
    finish();
}
END_TEST

START_TEST(test_bus_greeted_callers_outlast_strangers)
{
    int strangers[2 * LIMIT_BUS_PEERS_MAX];
    start_loop();
    start_server(11);
    start_client();
    WAIT_FOR(ups == 1);
    for (unsigned i = 0; i < 2 * LIMIT_BUS_PEERS_MAX; i++) {
        strangers[i] = rogue_connect();
        loop_turn(loop, 0);
    }
    WAIT_FOR(rogue_is_cut(strangers[0])); /* pushed out by later ones */
    ck_assert_int_eq(call(TYPE_ECHO, "here", 5000), 0);
    WAIT_FOR(replied == 1);
    WAIT_FOR(rogue_is_cut(strangers[2 * LIMIT_BUS_PEERS_MAX - 1])); /* never said HELLO */
    ck_assert_uint_eq(downs, 0);
    for (unsigned i = 0; i < 2 * LIMIT_BUS_PEERS_MAX; i++)
        close(strangers[i]);
    finish();
}
END_TEST

START_TEST(test_bus_carries_the_largest_frames)
{
    struct buffer body = {0};
    start_loop();
    start_server(11);
    start_client();
    WAIT_FOR(ups == 1);
    memset(buffer_reserve(&body, LIMIT_FRAME_BODY_BYTES_MAX), 'x', LIMIT_FRAME_BODY_BYTES_MAX);
    body.length = LIMIT_FRAME_BODY_BYTES_MAX;
    for (unsigned i = 1; i <= 3; i++) {
        ck_assert_int_eq(
            bus_call(client, TYPE_ECHO, &body, clock_monotonic_ms() + 30000, on_reply, NULL), 0);
        WAIT_FOR(replied == i);
        ck_assert_str_eq(last_reply, "xxxxxxxxxxxxxxx");
    }
    buffer_free(&body);
    finish();
}
END_TEST

/* A caller that asks and does not read holds no more of the callee's memory than the limit and one
 * batch; it gets everything once it reads. */
START_TEST(test_bus_unread_answers_are_bounded)
{
    const size_t calls_count = 100, bytes = 1u << 20;
    struct buffer out = {0};
    uint8_t *sink = memory_new(bytes);
    uint64_t got = 0, all = calls_count * (FRAME_HEADER_BYTES + bytes);
    start_loop();
    start_server(11);
    int fd = rogue_connect();
    rogue_send(fd, FRAME_TYPE_HELLO, 1, 0, "h");
    WAIT_FOR(rogue_receive(fd, sink, FRAME_HEADER_BYTES + sizeof(uint64_t)));
    for (size_t i = 0; i < calls_count; i++) {
        struct frame frame = {.type = TYPE_ECHO,
                              .correlation = i + 2,
                              .epoch = 11,
                              .body = memory_new_zeroed(1, bytes),
                              .body_bytes = (uint32_t)bytes};
        frame_encode_header(&frame, buffer_reserve(&out, FRAME_HEADER_BYTES));
        out.length += FRAME_HEADER_BYTES;
        buffer_append(&out, frame.body, bytes);
        free((void *)(uintptr_t)frame.body);
    }
    size_t sent = 0;
    for (unsigned idle_turns = 0; idle_turns < 20;) {
        ssize_t count = send(fd, out.bytes + sent, out.length - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        sent += count > 0 ? (size_t)count : 0;
        idle_turns = count > 0 ? 0 : idle_turns + 1;
        loop_turn(loop, 10);
    }
    ck_assert_uint_lt(requests, 40); /* 32 MiB of answers, and what the sockets hold */
    while (got < all) {
        ssize_t count = recv(fd, sink, bytes, MSG_DONTWAIT);
        got += count > 0 ? (uint64_t)count : 0;
        ck_assert_int_ne(count, 0);
        if (sent < out.length) {
            count = send(fd, out.bytes + sent, out.length - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
            sent += count > 0 ? (size_t)count : 0;
        }
        loop_turn(loop, 1);
    }
    ck_assert_uint_eq(requests, calls_count);
    free(sink);
    buffer_free(&out);
    close(fd);
    finish();
}
END_TEST

/* Who hangs up while it should read its answers is noticed, and what it had asked is dropped with
 * it. */
START_TEST(test_bus_caller_that_hangs_up_unread_is_parted)
{
    const size_t bytes = 1u << 20;
    struct buffer out = {0};
    start_loop();
    start_server(11);
    int fd = rogue_connect();
    rogue_send(fd, FRAME_TYPE_HELLO, 1, 0, "h");
    struct frame frame = {.type = TYPE_ECHO, .correlation = 2, .epoch = 11, .body_bytes = bytes};
    frame.body = memory_new_zeroed(1, bytes);
    frame_encode_header(&frame, buffer_reserve(&out, FRAME_HEADER_BYTES));
    out.length += FRAME_HEADER_BYTES;
    buffer_append(&out, frame.body, bytes);
    free((void *)(uintptr_t)frame.body);
    size_t sent = 0;
    for (unsigned idle_turns = 0; idle_turns < 20;) { /* until it listens no more */
        size_t at = sent % out.length;
        ssize_t count = send(fd, out.bytes + at, out.length - at, MSG_DONTWAIT | MSG_NOSIGNAL);
        sent += count > 0 ? (size_t)count : 0;
        idle_turns = count > 0 ? 0 : idle_turns + 1;
        loop_turn(loop, 10);
    }
    ck_assert_uint_ge(requests, 32);
    close(fd);
    WAIT_FOR(parted == 1);
    buffer_free(&out);
    start_client(); /* and its place is free */
    WAIT_FOR(ups == 1);
    finish();
}
END_TEST

/* While the loop is busy elsewhere, a peer that has hung up keeps nobody busy: nng 1.5.2 would look
 * at its socket again and again. */
START_TEST(test_bus_peer_that_hangs_up_costs_nothing_meanwhile)
{
    start_loop();
    int listener = rogue_listen();
    start_client();
    int fd = rogue_welcome(listener);
    WAIT_FOR(ups == 1);
    loop_turn(loop, 0);
    close(fd);
    clock_t before = clock();
    usleep(500000); /* what it is busy with */
    ck_assert_int_lt(clock() - before, CLOCKS_PER_SEC / 20);
    WAIT_FOR(downs == 1);
    close(listener);
    finish();
}
END_TEST

/* Switches of all of this process's threads but the first. */
static unsigned long long switches_of_others(void)
{
    char path[300], line[128];
    unsigned long long sum = 0, count;
    DIR *folder = opendir("/proc/self/task");
    ck_assert_ptr_nonnull(folder);
    for (struct dirent *entry; (entry = readdir(folder));) {
        snprintf(path, sizeof(path), "/proc/self/task/%s/status", entry->d_name);
        bool is_other = entry->d_name[0] != '.' && atoi(entry->d_name) != getpid();
        FILE *file = is_other ? fopen(path, "r") : NULL;
        while (file && fgets(line, sizeof(line), file))
            if (sscanf(line, "voluntary_ctxt_switches: %llu", &count) == 1)
                sum += count;
        if (file)
            fclose(file);
    }
    closedir(folder);
    return sum;
}

static void check_wakes_no_thread(void)
{
    start_server(11);
    start_client();
    WAIT_FOR(ups == 1);
    unsigned long long before = switches_of_others();
    for (unsigned i = 1; i <= 500; i++) {
        ck_assert_int_eq(call(TYPE_ECHO, "hello", 5000), 0);
        loop_turn(loop, 0); /* lets it go */
        WAIT_FOR(replied == i);
    }
    unsigned long long switches = switches_of_others() - before;
    if (getenv("CONURE_FAULT")) /* nng's way: both ends, for each message */
        ck_assert_uint_ge(switches, 500);
    else
        ck_assert_uint_lt(switches, 50);
    finish();
}

START_TEST(test_bus_wakes_no_thread_of_nng)
{
    start_loop();
    check_wakes_no_thread();
}
END_TEST

START_TEST(test_bus_tcp_wakes_no_thread_of_nng)
{
    start_tcp_loop();
    check_wakes_no_thread();
}
END_TEST

/* ---- TCP ---- */

START_TEST(test_bus_tcp_callee_that_restarts_is_found_at_once)
{
    start_tcp_loop();
    start_client();
    start_server(11);
    WAIT_FOR(ups == 1);
    for (unsigned round = 1; round <= 20; round++) {
        ck_assert_int_eq(call(TYPE_ECHO, "hello", 5000), 0);
        WAIT_FOR(replied == round);
        bus_server_free(server); /* closes first: its end waits in TIME_WAIT */
        start_server(11 + round);
        WAIT_FOR(ups == round + 1);
    }
    finish();
}
END_TEST

START_TEST(test_bus_tcp_frames_leave_at_once)
{
    ino_t ends[2] = {0};
    start_tcp_loop();
    start_server(11);
    start_client();
    WAIT_FOR(ups == 1);
    for (int fd = 3; fd < 256; fd++) {
        int no_delay = 0;
        struct sockaddr_in address;
        struct stat status;
        socklen_t bytes = sizeof(no_delay), address_bytes = sizeof(address);
        if (getpeername(fd, (struct sockaddr *)&address, &address_bytes) < 0 ||
            address.sin_family != AF_INET)
            continue;
        ck_assert_int_eq(fstat(fd, &status), 0);
        ends[ends[0] && ends[0] != status.st_ino] = status.st_ino;
        ck_assert_int_eq(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &no_delay, &bytes), 0);
        ck_assert_int_eq(no_delay, 1);
    }
    ck_assert(ends[0] && ends[1]);
    finish();
}
END_TEST

START_TEST(test_bus_tcp_address_in_use_is_named)
{
    struct error error = {""};
    struct bus_server *second = NULL;
    char want[128];
    start_tcp_loop();
    start_server(11);
    struct bus_server_options options = {
        .loop = loop, .url = url, .epoch = 12, .on_hello = on_hello, .on_request = on_request};
    ck_assert_int_eq(bus_server_new(&second, &options, &error), -EADDRINUSE);
    snprintf(want, sizeof(want), "cannot listen on %s: Address already in use", url);
    ck_assert_str_eq(error.text, want);
    options.url = "tcp://no.such.host.invalid:1";
    ck_assert_int_lt(bus_server_new(&second, &options, &error), 0);
    finish();
}
END_TEST

START_TEST(test_bus_tcp_dialling_tells_why_it_fails)
{
    start_tcp_loop();
    start_client();
    WAIT_FOR(bus_client_dial_code(client) == -ECONNREFUSED);
    bus_client_free(client);
    int listener = tcp_listen(); /* a full backlog: connecting takes for ever */
    ck_assert_int_eq(listen(listener, 0), 0);
    int fds[4];
    for (unsigned i = 0; i < 4; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)connect(fds[i], (struct sockaddr *)&tcp_address, sizeof(tcp_address));
    }
    start_client();
    WAIT_FOR(bus_client_dial_code(client) == -ETIMEDOUT);
    for (unsigned i = 0; i < 4; i++)
        close(fds[i]);
    close(listener);
    start_server(11);
    WAIT_FOR(ups == 1);
    finish();
}
END_TEST

/* Freed in the middle of looking up, connecting and greeting: nothing hangs, nothing is leaked. */
START_TEST(test_bus_tcp_caller_may_be_freed_at_any_time)
{
    start_tcp_loop();
    start_server(11);
    for (unsigned i = 0; i < 300; i++) {
        uint64_t before_ms = clock_monotonic_ms();
        start_client();
        for (unsigned turns = i % 7; turns > 0; turns--)
            loop_turn(loop, 1);
        bus_client_free(client);
        ck_assert_uint_lt(clock_monotonic_ms() - before_ms, 2000);
    }
    snprintf(url, sizeof(url), "tcp://192.0.2.1:9"); /* nobody answers there (RFC 5737) */
    for (unsigned i = 0; i < 20; i++) {
        uint64_t before_ms = clock_monotonic_ms();
        start_client();
        for (unsigned turns = i % 4; turns > 0; turns--)
            loop_turn(loop, 1);
        bus_client_free(client);
        ck_assert_uint_lt(clock_monotonic_ms() - before_ms, 2000);
    }
    client = NULL;
    finish();
}
END_TEST

/* A callee that takes the HELLO and says nothing: over TCP it may be a connection that is dead. */
START_TEST(test_bus_tcp_unanswered_greeting_is_dialled_anew)
{
    int fds[3];
    start_tcp_loop();
    int listener = tcp_listen();
    start_client();
    for (unsigned i = 0; i < 3; i++) {
        uint64_t before_ms = clock_monotonic_ms();
        WAIT_FOR((fds[i] = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0);
        ck_assert(i == 0 || clock_monotonic_ms() - before_ms >= 500);
    }
    for (unsigned i = 0; i < 3; i++)
        close(fds[i]);
    close(listener);
    finish();
}
END_TEST

/* A connection to itself, as TCP can make it, gives back what was sent: it must not be kept. */
START_TEST(test_bus_tcp_own_echo_is_dropped)
{
    uint8_t bytes[FRAME_HEADER_BYTES + 1];
    start_tcp_loop();
    int listener = tcp_listen(), fd = -1;
    start_client();
    WAIT_FOR((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0);
    uint64_t before_ms = clock_monotonic_ms();
    WAIT_FOR(rogue_receive(fd, bytes, sizeof(bytes)));
    ck_assert_int_eq(send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL), sizeof(bytes));
    WAIT_FOR(rogue_is_cut(fd));
    ck_assert_uint_lt(clock_monotonic_ms() - before_ms, 900); /* not for want of an answer */
    close(fd);
    close(listener);
    finish();
}
END_TEST

/* ---- what only some edges use ---- */

START_TEST(test_bus_casts_arrive_in_order_with_calls_and_are_not_answered)
{
    struct buffer body = {0};
    start_loop();
    start_server(11);
    start_client();
    ck_assert_int_eq(bus_cast(client, TYPE_ECHO, &body), BUS_DOWN);
    WAIT_FOR(ups == 1);
    for (unsigned i = 0; i < 100; i++)
        ck_assert_int_eq(bus_cast(client, TYPE_ECHO, &body), 0); /* an answer finds nobody */
    ck_assert_int_eq(call(TYPE_ECHO, "last", 5000), 0);
    WAIT_FOR(replied == 1);
    ck_assert_uint_eq(requests, 101);
    finish();
}
END_TEST

START_TEST(test_bus_unsent_bytes_count_what_the_kernel_has_not_got)
{
    struct buffer body = {0};
    size_t bytes = 1u << 20;
    memset(buffer_reserve(&body, bytes), 'x', bytes);
    body.length = bytes;
    start_tcp_loop();
    start_server(11);
    start_client();
    WAIT_FOR(ups == 1);
    ck_assert_uint_eq(bus_client_unsent_bytes(client), 0);
    for (unsigned round = 0; round < 5; round++) {
        for (unsigned i = 0; i < 8; i++)
            ck_assert_int_eq(bus_cast(client, TYPE_SILENCE, &body), 0);
        ck_assert_uint_ge(bus_client_unsent_bytes(client), 8 * bytes);
        WAIT_FOR(bus_client_unsent_bytes(client) == 0); /* though no answer ever wakes it up */
    }
    WAIT_FOR(requests == 40);
    buffer_free(&body);
    finish();
}
END_TEST

/* Small frames to a callee that reads later: no thread tells when the one that has to wait is
 * through, and nothing else happens on this connection. */
START_TEST(test_bus_small_frames_that_must_wait_arrive)
{
    static uint8_t bytes[1u << 16];
    struct buffer body = {.bytes = bytes, .length = 10000};
    size_t sent = 0, received = 0;
    start_loop();
    int listener = rogue_listen();
    start_client();
    int fd = rogue_welcome(listener);
    WAIT_FOR(ups == 1);
    for (unsigned round = 0; round < 20; round++) {
        do {
            ck_assert_int_eq(bus_cast(client, TYPE_SILENCE, &body), 0);
            sent += FRAME_HEADER_BYTES + body.length;
            loop_turn(loop, 0);
        } while (!bus_client_unsent_bytes(client));
        ck_assert_int_eq(bus_cast(client, TYPE_SILENCE, &body), 0); /* behind one under way */
        sent += FRAME_HEADER_BYTES + body.length;
        loop_turn(loop, 0);
        for (uint64_t until_ms = clock_monotonic_ms() + 10000; received < sent;) {
            ssize_t got = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
            received += got > 0 ? (size_t)got : 0;
            ck_assert_uint_lt(clock_monotonic_ms(), until_ms);
            loop_turn(loop, 1);
        }
        ck_assert_uint_eq(bus_client_unsent_bytes(client), 0);
    }
    close(fd);
    close(listener);
    finish();
}
END_TEST

START_TEST(test_bus_reset_ends_calls_and_dials_anew)
{
    start_loop();
    start_server(11);
    start_client();
    bus_client_reset(client); /* nothing to drop */
    WAIT_FOR(ups == 1);
    ck_assert_int_eq(call(TYPE_SILENCE, "", 60000), 0);
    bus_client_reset(client);
    WAIT_FOR(gone == 1 && downs == 1);
    WAIT_FOR(ups == 2);
    WAIT_FOR(parted == 1);
    ck_assert_int_eq(call(TYPE_ECHO, "again", 5000), 0);
    WAIT_FOR(replied == 1);
    finish();
}
END_TEST

START_TEST(test_bus_retired_caller_ends_its_calls)
{
    start_loop();
    start_server(11);
    start_client();
    WAIT_FOR(ups == 1);
    ck_assert_int_eq(call(TYPE_SILENCE, "", 60000), 0);
    bus_client_retire(client);
    client = NULL;
    ck_assert_uint_eq(gone, 1);
    ck_assert_uint_eq(downs, 1);
    WAIT_FOR(parted == 1);
    finish();
}
END_TEST

START_TEST(test_bus_refused_greeting_tells_the_caller_why)
{
    struct error error = {""};
    struct bus_client_options options = {.loop = NULL,
                                         .url = url,
                                         .hello = (const uint8_t *)"x",
                                         .hello_bytes = 1,
                                         .on_welcome = on_welcome,
                                         .on_refused = on_refused,
                                         .on_up = on_up,
                                         .on_down = on_down};
    start_loop();
    options.loop = loop;
    start_server(11);
    ck_assert_int_eq(bus_client_new(&client, &options, &error), 0);
    WAIT_FOR(refused == 2); /* it tries on */
    ck_assert_str_eq(last_refusal, "not h");
    ck_assert_uint_eq(ups + parted, 0);
    finish();
}
END_TEST

START_TEST(test_bus_dropped_callers_are_cut)
{
    start_loop();
    start_server(11);
    start_client();
    WAIT_FOR(ups == 1);
    ck_assert_int_eq(call(TYPE_SILENCE, "", 60000), 0);
    WAIT_FOR(requests == 1);
    bus_server_drop(server, 4); /* somebody else */
    bus_server_drop(server, 5);
    WAIT_FOR(gone == 1 && parted == 1);
    WAIT_FOR(ups == 2);
    finish();
}
END_TEST

/* Who sends something now and then stays; who vanished without a trace does not. */
START_TEST(test_bus_silent_callers_are_cut_if_that_is_wanted)
{
    uint8_t welcome[FRAME_HEADER_BYTES + sizeof(uint64_t)];
    silence_ms_max = 400;
    start_tcp_loop();
    start_server(11);
    start_client();
    WAIT_FOR(ups == 1);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&tcp_address, sizeof(tcp_address)), 0);
    rogue_send(fd, FRAME_TYPE_HELLO, 1, 0, "h");
    WAIT_FOR(rogue_receive(fd, welcome, sizeof(welcome)));
    uint64_t last_ms = clock_monotonic_ms() + 2000;
    unsigned calls = 0;
    while (clock_monotonic_ms() < last_ms) {
        ck_assert_int_eq(call(TYPE_ECHO, "here", 5000), 0);
        loop_turn(loop, 50);
        while (replied < calls + 1)
            loop_turn(loop, 10);
        calls++;
    }
    ck_assert_uint_eq(downs, 0);
    ck_assert_uint_eq(parted, 1);
    WAIT_FOR(rogue_is_cut(fd));
    close(fd);
    finish();
}
END_TEST

UNIT_MAIN("bus", test_bus_call_before_the_peer_is_down_after_it_is_answered,
          test_bus_silent_peer_ends_the_call_at_its_deadline,
          test_bus_restarted_peer_ends_calls_as_gone_and_comes_up_again,
          test_bus_calls_in_flight_are_bounded, test_bus_damaged_bytes_cut_the_connection,
          test_bus_ungreeted_and_stale_frames_are_refused,
          test_bus_listener_hears_after_callers_that_vanish,
          test_bus_caller_dials_on_after_callees_that_vanish,
          test_bus_answers_of_a_dead_callee_count, test_bus_greeted_callers_outlast_strangers,
          test_bus_carries_the_largest_frames, test_bus_unread_answers_are_bounded,
          test_bus_caller_that_hangs_up_unread_is_parted,
          test_bus_peer_that_hangs_up_costs_nothing_meanwhile, test_bus_wakes_no_thread_of_nng,
          test_bus_tcp_wakes_no_thread_of_nng, test_bus_tcp_callee_that_restarts_is_found_at_once,
          test_bus_tcp_frames_leave_at_once, test_bus_tcp_address_in_use_is_named,
          test_bus_tcp_dialling_tells_why_it_fails, test_bus_tcp_caller_may_be_freed_at_any_time,
          test_bus_tcp_unanswered_greeting_is_dialled_anew, test_bus_tcp_own_echo_is_dropped,
          test_bus_casts_arrive_in_order_with_calls_and_are_not_answered,
          test_bus_unsent_bytes_count_what_the_kernel_has_not_got,
          test_bus_small_frames_that_must_wait_arrive, test_bus_reset_ends_calls_and_dials_anew,
          test_bus_retired_caller_ends_its_calls, test_bus_refused_greeting_tells_the_caller_why,
          test_bus_dropped_callers_are_cut, test_bus_silent_callers_are_cut_if_that_is_wanted)
