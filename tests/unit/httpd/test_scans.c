/* Scans from the request to a storaged that is played here, and back. */
#include "stand.h"

#include "../unit.h"

#include "clock.h"
#include "httpd_limits.h"
#include "scan.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct stand stand;

/* ---- storaged: so many parts of so many records, then what the test says ---- */

static struct {
    unsigned parts, records;
    uint16_t last_status; /* of the last part */
    size_t value_bytes;
    bool loses; /* it goes away instead of giving the last part */
    unsigned opens, nexts, closes, glances;
    struct scan_open last_open;
} store;

static char value[100000];

static void add_records(unsigned part)
{
    for (unsigned i = 0; i < store.records; i++) {
        char key[32];
        struct scan_record record = {.revision = 5,
                                     .key = (uint8_t *)key,
                                     .value = (uint8_t *)value,
                                     .value_bytes = store.value_bytes};
        record.key_bytes = (size_t)snprintf(key, sizeof(key), "k%u.%u", part, i);
        scan_part_add(&stand.reply, &record);
    }
}

static void answer_part(struct bus_request *request, unsigned part)
{
    bool is_last = part + 1 == store.parts;
    struct scan_part_head head = {.status = is_last ? store.last_status : PROTO_STATUS_OK,
                                  .scan = is_last ? 0 : 77,
                                  .index = 9,
                                  .keys = (uint64_t)(part + 1) * store.records};
    scan_part_begin(&stand.reply);
    if (head.status == PROTO_STATUS_OK)
        add_records(part);
    scan_part_finish(&stand.reply, &head);
    if (!is_last || !store.loses)
        bus_reply(stand.storaged, &request->route, PROTO_SCAN_PART, &stand.reply);
    else
        bus_server_drop(stand.storaged, PROTO_ROLE_HTTPD);
}

static void play_storaged(struct stand *which, struct bus_request *request)
{
    struct scan_next next;
    (void)which;
    if (request->type == PROTO_SCAN_OPEN) {
        ck_assert_int_eq(scan_open_decode(&request->body, &store.last_open), 0);
        store.opens++;
        store.glances += (store.last_open.flags & SCAN_GLANCE) != 0;
        answer_part(request, 0);
    } else if (request->type == PROTO_SCAN_NEXT) {
        ck_assert_int_eq(scan_next_decode(&request->body, &next), 0);
        ck_assert_uint_eq(next.scan, 77);
        ck_assert_uint_eq(next.part, ++store.nexts);
        answer_part(request, next.part);
    } else if (request->type == PROTO_SCAN_CLOSE) {
        store.closes++;
        bus_reply(stand.storaged, &request->route, PROTO_SCAN_CLOSED, NULL);
    }
}

static void play(unsigned parts, unsigned records)
{
    memset(&store, 0, sizeof(store));
    store.parts = parts;
    store.records = records;
    store.value_bytes = 1;
    memset(value, 'v', sizeof(value));
    stand.on_storaged = play_storaged;
}

/* ---- tests ---- */

START_TEST(test_scans_stream_all_parts_and_a_last_line)
{
    stand_open(&stand, FOLLOWER_REDIRECT);
    play(3, 2);
    struct stand_answer answer = stand_do(&stand, "GET /kv?prefix=k", NULL, NULL);
    ck_assert_int_eq(answer.status, 200);
    ck_assert(stand_has_line(&answer, "Content-Type: application/x-ndjson"));
    ck_assert(stand_has_line(&answer, "X-Content-Type-Options: nosniff"));
    ck_assert(stand_has_line(&answer, "Transfer-Encoding: chunked"));
    for (unsigned part = 0; part < 3; part++)
        for (unsigned i = 0; i < 2; i++) {
            char line[64];
            snprintf(line, sizeof(line), "{\"key\":\"k%u.%u\",\"value\":\"v\",\"revision\":5}\n",
                     part, i);
            ck_assert_msg(strstr(answer.body, line), "no %s in %s", line, answer.body);
        }
    ck_assert_ptr_nonnull(strstr(
        answer.body, "{\"count\":6,\"more\":false,\"next\":null,\"revision\":9}\n\r\n0\r\n\r\n"));
    stand_answer_free(&answer);
    ck_assert_uint_eq(stand.last_type, PROTO_READ_INDEX);
    ck_assert_uint_eq(store.opens, 1);
    ck_assert_uint_eq(store.nexts, 2);
    ck_assert_uint_eq(store.closes, 0); /* it was read to its end */
    stand_close(&stand);
}
END_TEST

START_TEST(test_scans_that_are_stale_ask_no_leader)
{
    stand_open(&stand, FOLLOWER_REDIRECT);
    play(1, 1);
    struct stand_answer answer = stand_do(&stand, "GET /kv?prefix=k&stale=true", NULL, NULL);
    ck_assert_int_eq(answer.status, 200);
    ck_assert(stand_has_line(&answer, "X-Conure-Applied-Index: 9"));
    stand_answer_free(&answer);
    ck_assert_uint_eq(stand.calls, 0);
    ck_assert_uint_eq(store.last_open.index_min, 0);
    answer = stand_do(&stand, "HEAD /kv?prefix=k&stale=true", NULL, NULL);
    ck_assert_int_eq(answer.status, 200);
    ck_assert(stand_has_line(&answer, "Content-Type: application/x-ndjson"));
    ck_assert_uint_eq(answer.body_bytes, 0);
    ck_assert_uint_eq(store.last_open.keys_max, 1);
    stand_answer_free(&answer);
    stand_close(&stand);
}
END_TEST

START_TEST(test_scans_of_a_follower_are_the_leaders)
{
    stand_open(&stand, FOLLOWER_REDIRECT);
    play(1, 1);
    stand_follow(&stand, "http://127.0.0.1:9");
    struct stand_answer answer = stand_do(&stand, "GET /kv?prefix=k&limit=3", NULL, NULL);
    ck_assert_int_eq(answer.status, 307);
    ck_assert(stand_has_line(&answer, "Location: http://127.0.0.1:9/kv?prefix=k&limit=3"));
    stand_answer_free(&answer);
    ck_assert_uint_eq(store.opens, 0);
    stand_close(&stand);
}
END_TEST

/* A failure before the first line has its status; after it, a last line that is a problem, and no
 * end of the body. */
START_TEST(test_scans_failures_are_told)
{
    static const struct {
        uint16_t proto_status;
        int status;
        const char *line;
    } cases[] = {
        {PROTO_STATUS_TIMEOUT, 503, "the lines were taken too slowly"},
        {PROTO_STATUS_NOT_FOUND, 0, "the lines were taken too slowly"},
        {PROTO_STATUS_DAMAGED, 500, "stored bytes failed their checksum"},
        {PROTO_STATUS_BUSY, 503, "overloaded"},
    };
    stand_open(&stand, FOLLOWER_REDIRECT);
    for (unsigned i = 0; i < 4; i++) {
        play(1, 1);
        store.last_status = cases[i].proto_status;
        struct stand_answer answer = stand_do(&stand, "GET /kv?prefix=k", NULL, NULL);
        ck_assert(answer.status == cases[i].status || !cases[i].status);
        stand_answer_free(&answer);
        play(2, 1);
        store.last_status = cases[i].proto_status;
        answer = stand_do(&stand, "GET /kv?prefix=k", NULL, NULL);
        ck_assert_int_eq(answer.status, 200);
        ck_assert_ptr_nonnull(strstr(answer.body, "{\"key\":\"k0.0\""));
        ck_assert_msg(strstr(answer.body, cases[i].line), "%s", answer.body);
        ck_assert_ptr_null(strstr(answer.body, "\"count\""));
        ck_assert_ptr_null(strstr(answer.body, "\r\n0\r\n"));
        stand_answer_free(&answer);
    }
    stand_close(&stand);
}
END_TEST

START_TEST(test_scans_storaged_that_goes_away_ends_them)
{
    stand_open(&stand, FOLLOWER_REDIRECT);
    play(2, 1);
    store.loses = true;
    struct stand_answer answer = stand_do(&stand, "GET /kv?prefix=k", NULL, NULL);
    ck_assert_int_eq(answer.status, 200);
    ck_assert_msg(strstr(answer.body, "\"status\":503"), "%s", answer.body);
    ck_assert_ptr_null(strstr(answer.body, "\r\n0\r\n"));
    stand_answer_free(&answer);
    stand_turn(&stand, 300); /* the edge is up again */
    play(1, 1);
    answer = stand_do(&stand, "GET /kv?prefix=k", NULL, NULL);
    ck_assert_int_eq(answer.status, 200);
    stand_answer_free(&answer);
    stand_close(&stand);
}
END_TEST

/* Large values go out in pieces, every byte of them escaped. */
START_TEST(test_scans_large_values_are_whole)
{
    static const uint8_t kinds[] = {'v', '\n', 0xff, 0x01};
    static const char *const escapes[] = {"v", "\\n", "/", "\\u0001"};
    stand_open(&stand, FOLLOWER_REDIRECT);
    for (unsigned i = 0; i < 4; i++) {
        size_t count = 0;
        play(1, 1);
        store.value_bytes = 90000;
        memset(value, kinds[i], sizeof(value));
        struct stand_answer answer = stand_do(&stand, "GET /kv?prefix=k", NULL, NULL);
        ck_assert_int_eq(answer.status, 200);
        ck_assert_ptr_nonnull(strstr(answer.body, i == 2 ? "\"value_base64\":\"" : "\"value\":\""));
        for (const char *at = answer.body; (at = strstr(at, escapes[i])); at += strlen(escapes[i]))
            count++;
        ck_assert_msg(count >= 80000, "%zu of %s", count, escapes[i]);
        ck_assert_ptr_nonnull(strstr(answer.body, "\"count\":1"));
        stand_answer_free(&answer);
    }
    stand_close(&stand);
}
END_TEST

/* While a write waits, a part in HTTPD_SCAN_PACE_MS; to the end all the same. */
START_TEST(test_scans_give_way_to_writes)
{
    enum { PARTS = 12 };
    stand_open(&stand, FOLLOWER_REDIRECT);
    play(PARTS, 1);
    stand.silent = true;
    int writer =
        stand_send(&stand, "PUT /kv?key=k HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nv");
    uint64_t began_ms = clock_monotonic_ms();
    struct stand_answer answer = stand_do(&stand, "GET /kv?prefix=k&stale=true", NULL, NULL);
    uint64_t took_ms = clock_monotonic_ms() - began_ms;
    ck_assert_int_eq(answer.status, 200);
    ck_assert_ptr_nonnull(strstr(answer.body, "\"count\":12"));
    ck_assert_uint_eq(store.nexts, PARTS - 1);
    ck_assert_uint_ge(took_ms, (PARTS - 2) * HTTPD_SCAN_PACE_MS); /* the first need not wait */
    stand_answer_free(&answer);
    stand_end_raftd(&stand); /* the write is answered: unknown */
    stand_turn(&stand, 300);
    (void)close(writer);
    stand_close(&stand);
}
END_TEST

UNIT_MAIN("scans", test_scans_stream_all_parts_and_a_last_line,
          test_scans_that_are_stale_ask_no_leader, test_scans_of_a_follower_are_the_leaders,
          test_scans_failures_are_told, test_scans_storaged_that_goes_away_ends_them,
          test_scans_large_values_are_whole, test_scans_give_way_to_writes)
