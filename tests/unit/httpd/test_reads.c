/* Linearizable reads: what is read beside a READ_INDEX, and requests whose connections end while
 * they wait. */
#include "stand.h"

#include "../unit.h"

#include "httpd_limits.h"
#include "read.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TURNS_MS_MAX 20000u
#define CROWD (HTTPD_IN_PLACE_MAX + 40u)

static struct stand stand;
static uint64_t applied, index_min_last;
static unsigned reads_count, keys_count;
static bool holds; /* storaged answers later */
static struct bus_route held;

/* storaged: the value of every key is the applied index. */
static void answer_read(const struct bus_route *route)
{
    struct buffer reply = {0};
    char value[24];
    int length = snprintf(value, sizeof(value), "at %llu", (unsigned long long)applied);
    struct read_record record = {.status = PROTO_STATUS_OK,
                                 .revision = 1,
                                 .value = (const uint8_t *)value,
                                 .value_bytes = (size_t)length};
    read_ok_begin(&reply, applied);
    for (unsigned i = 0; i < keys_count; i++)
        read_ok_add(&reply, &record);
    bus_reply(stand.storaged, route, PROTO_READ_OK, &reply);
    buffer_free(&reply);
}

static void on_storaged(struct stand *context, struct bus_request *request)
{
    struct message_list list;
    uint32_t wait_ms;
    (void)context;
    if (request->type != PROTO_READ)
        return;
    ck_assert_int_eq(read_decode(&request->body, &index_min_last, &wait_ms, &list), 0);
    reads_count++;
    keys_count = list.left;
    if (index_min_last > applied)
        applied = index_min_last; /* parked until then */
    held = request->route;
    if (!holds)
        answer_read(&held);
}

static void open_stand(uint64_t index)
{
    stand_open(&stand, FOLLOWER_REDIRECT);
    stand.status = PROTO_STATUS_OK;
    stand.on_storaged = on_storaged;
    stand.index = applied = index;
}

static void expect(const char *body)
{
    struct stand_answer answer = stand_do(&stand, "GET /kv/a", NULL, NULL);
    ck_assert_msg(answer.status == 200 && !strcmp(answer.body, body), "%s", answer.text);
    stand_answer_free(&answer);
}

static void expect_on(int fd, const char *body)
{
    char text[1024] = "";
    for (unsigned i = 0; i < TURNS_MS_MAX && !text[0]; i++) {
        stand_turn(&stand, 1);
        (void)!recv(fd, text, sizeof(text) - 1, 0);
    }
    ck_assert_msg(strstr(text, "200 OK") && strstr(text, body), "%s", text);
    close(fd);
}

/* The connection ends with a reset, which libmicrohttpd is told at once. */
static void reset_connection(int fd)
{
    struct linger linger = {.l_onoff = 1};
    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    close(fd);
    stand_turn(&stand, 20);
}

START_TEST(test_reads_ahead_count_if_the_index_was_applied)
{
    open_stand(5);
    expect("at 5"); /* the first waits for its index: nobody knows yet who leads */
    ck_assert_uint_eq(index_min_last, 5);
    ck_assert_uint_eq(reads_count, 1);
    applied = 7;
    expect("at 7"); /* beside it, at a later index than it needs */
    ck_assert_uint_eq(reads_count, 2);
    ck_assert_uint_eq(index_min_last, 0);
    stand_close(&stand);
}
END_TEST

START_TEST(test_reads_ahead_of_an_older_state_are_read_again)
{
    open_stand(5);
    expect("at 5");
    stand.index = 9; /* committed and acknowledged, not yet applied */
    expect("at 9");
    ck_assert_uint_eq(reads_count, 3);
    ck_assert_uint_eq(index_min_last, 9);
    stand_close(&stand);
}
END_TEST

/* A node that gave up its cluster for another's: its indexes begin anew. */
START_TEST(test_reads_wait_for_no_index_of_another_cluster)
{
    open_stand(27);
    expect("at 27");
    stand_follow(&stand, "http://10.0.0.1:8081");
    struct stand_answer answer = stand_do(&stand, "GET /kv/a", NULL, NULL);
    ck_assert_int_eq(answer.status, 307);
    stand_answer_free(&answer);
    stand.status = PROTO_STATUS_OK;
    stand.index = applied = 6;
    expect("at 6");
    ck_assert_uint_eq(index_min_last, 6);
    expect("at 6");
    ck_assert_uint_eq(index_min_last, 0);
    stand_close(&stand);
}
END_TEST

START_TEST(test_reads_ahead_wait_for_both_answers_in_either_order)
{
    open_stand(5);
    expect("at 5");
    for (unsigned late = 0; late < 2; late++) {
        stand.index = 5 + late;
        stand.silent = true;
        int fd = stand_send(&stand, "GET /kv/a HTTP/1.1\r\nHost: h\r\n\r\n");
        stand_turn(&stand, 20); /* READ_OK is there */
        char byte;
        ck_assert_int_lt(recv(fd, &byte, 1, 0), 0);
        stand_answer_read_index(&stand);
        stand.silent = false;
        expect_on(fd, late ? "at 6" : "at 5");
    }
    holds = true;
    unsigned reads = reads_count;
    int fd = stand_send(&stand, "GET /kv/a HTTP/1.1\r\nHost: h\r\n\r\n");
    while (reads_count == reads)
        stand_turn(&stand, 1);
    stand_turn(&stand, 20); /* READ_INDEX_OK is there */
    answer_read(&held);
    expect_on(fd, "at 6");
    stand_close(&stand);
}
END_TEST

START_TEST(test_reads_ahead_of_a_leader_that_was_are_not_answered)
{
    open_stand(5);
    expect("at 5");
    stand_follow(&stand, "http://10.0.0.1:8081");
    struct stand_answer answer = stand_do(&stand, "GET /kv/a", NULL, NULL);
    ck_assert_int_eq(answer.status, 307);
    stand_answer_free(&answer);
    unsigned reads = reads_count;
    answer = stand_do(&stand, "GET /kv/a", NULL, NULL);
    ck_assert_int_eq(answer.status, 307);
    stand_answer_free(&answer);
    ck_assert_uint_eq(reads_count, reads); /* it knows now */
    stand_close(&stand);
}
END_TEST

START_TEST(test_reads_and_writes_end_with_their_connections)
{
    static const char *const requests[] = {
        "GET /kv/a HTTP/1.1\r\nHost: h\r\n\r\n",
        "PUT /kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nv",
    };
    open_stand(5);
    expect("at 5");
    holds = true;
    for (unsigned i = 0; i < 4; i++) {
        stand.silent = i < 2;
        reset_connection(stand_send(&stand, requests[i % 2])); /* before all its answers came */
        if (stand.silent && i % 2 == 0)
            stand_answer_read_index(&stand);
        if (i % 2 == 0)
            answer_read(&held);
        stand_turn(&stand, 20);
    }
    holds = stand.silent = false;
    expect("at 5");
    stand_end_raftd(&stand); /* which still owes an answer */
    stand_turn(&stand, 20);
    stand_close(&stand);
}
END_TEST

/* More than may wait in place: the rest is suspended, and all are answered. */
START_TEST(test_reads_and_writes_wait_in_any_number)
{
    int fds[CROWD];
    char text[1024];
    open_stand(5);
    stand.silent = true;
    for (unsigned i = 0; i < CROWD; i++) {
        fds[i] = stand_begin(&stand, "PUT /kv/a?value=v HTTP/1.1\r\nHost: h\r\n\r\n");
        stand_turn(&stand, 0);
    }
    stand_turn(&stand, 50);
    ck_assert_uint_gt(stand.calls, 0);
    stand_end_raftd(&stand);
    for (unsigned i = 0; i < CROWD; i++) {
        ssize_t got = -1;
        for (unsigned turn = 0; turn < TURNS_MS_MAX && got < 0; turn++) {
            got = recv(fds[i], text, sizeof(text) - 1, 0);
            if (got < 0)
                stand_turn(&stand, 1);
        }
        ck_assert_int_gt(got, 0);
        text[got] = '\0';
        ck_assert_msg(strstr(text, "HTTP/1.1 50"), "%s", text);
        close(fds[i]);
    }
    stand_close(&stand);
}
END_TEST

UNIT_MAIN("reads", test_reads_ahead_count_if_the_index_was_applied,
          test_reads_ahead_of_an_older_state_are_read_again,
          test_reads_wait_for_no_index_of_another_cluster,
          test_reads_ahead_wait_for_both_answers_in_either_order,
          test_reads_ahead_of_a_leader_that_was_are_not_answered,
          test_reads_and_writes_end_with_their_connections,
          test_reads_and_writes_wait_in_any_number)
