/* Transactions: their JSON read, and the way to raftd and back. */
#include "stand.h"

#include "../unit.h"

#include "transaction.h"
#include "transaction_read.h"

#include <stdio.h>
#include <string.h>

static struct transaction transaction;
static struct problem problem;
static char body[100000];

static int read_text(const char *text)
{
    static const struct transaction_limits limits = {.key_bytes_max = 16, .value_bytes_max = 20};
    transaction_drop(&transaction);
    transaction = (struct transaction){.has_puts = false};
    strcpy(body, text);
    return transaction_read((uint8_t *)body, strlen(text), &limits, &transaction, &problem);
}

static void assert_bytes(const uint8_t *bytes, size_t length, const char *expected,
                         size_t expected_bytes)
{
    ck_assert_uint_eq(length, expected_bytes);
    if (length)
        ck_assert_mem_eq(bytes, expected, length);
}

START_TEST(test_transaction_json_becomes_its_lists)
{
    const struct txn_lists *lists = &transaction.lists;
    ck_assert_msg(
        read_text(
            " {\"else\" : [ {\"delete\":{\"key_base64\":\"AP8=\"}} ] ,"
            "\"if\":[{\"key\":\"a\",\"exists\":true},"
            "{\"value\":\"v\\u0000\",\"key\":\"b\",\"revision\":18446744073709551615,"
            "\"exists\":false}],"
            "\"then\":[{\"put\":{\"value\":\"\",\"key\":\"\\u00e9\"}},"
            "{\"put\":{\"key\":\"p\",\"value_base64\":\"/w==\"}},{\"get\":{\"key\":\"g\"}}]}\n") ==
            0,
        "%s", problem.detail);
    ck_assert_uint_eq(lists->compares_count, 4);
    ck_assert_uint_eq(lists->compares[0].kind, TXN_EXISTS);
    assert_bytes(lists->compares[0].key, lists->compares[0].key_bytes, "a", 1);
    ck_assert_uint_eq(lists->compares[1].kind, TXN_ABSENT);
    ck_assert_uint_eq(lists->compares[2].kind, TXN_REVISION);
    ck_assert_uint_eq(lists->compares[2].revision, UINT64_MAX);
    ck_assert_uint_eq(lists->compares[3].kind, TXN_VALUE);
    assert_bytes(lists->compares[3].value, lists->compares[3].value_bytes, "v\0", 2);
    ck_assert_uint_eq(lists->thens_count, 3);
    ck_assert_uint_eq(lists->thens[0].kind, TXN_PUT);
    assert_bytes(lists->thens[0].key, lists->thens[0].key_bytes, "\xc3\xa9", 2);
    assert_bytes(lists->thens[0].value, lists->thens[0].value_bytes, "", 0);
    assert_bytes(lists->thens[1].value, lists->thens[1].value_bytes, "\xff", 1);
    ck_assert_uint_eq(lists->thens[2].kind, TXN_GET);
    ck_assert_uint_eq(lists->elses_count, 1);
    ck_assert_uint_eq(lists->elses[0].kind, TXN_DELETE);
    assert_bytes(lists->elses[0].key, lists->elses[0].key_bytes, "\0\xff", 2);
    ck_assert(transaction.has_puts);
    ck_assert_uint_eq(lists->result_bytes_max,
                      TXN_RESULT_HEAD_BYTES + 3 * TXN_RESULT_RECORD_BYTES + 1 + 20);
    ck_assert_int_eq(read_text("{\"then\":[{\"delete\":{\"key\":\"k\"}}]}"), 0);
    ck_assert(!transaction.has_puts);
    transaction_drop(&transaction);
}
END_TEST

START_TEST(test_transaction_json_that_is_wrong_is_named)
{
    static const struct {
        const char *text;
        int status;
        const char *part;
    } cases[] = {
        {"", 400, "want a JSON object"},
        {"[]", 400, "want a JSON object"},
        {"{\"then\":[", 400, "then[0]: want an object with put, delete or get, at byte 9"},
        {"{}", 400, "empty"},
        {"{\"if\":[],\"then\":[],\"else\":[]}", 400, "empty"},
        {"{\"then\":{}}", 400, "then[0]: want a list"},
        {"{\"then\":[{\"get\":{\"key\":\"k\"}}],\"then\":[]}", 400, "given twice: member 'then'"},
        {"{\"when\":[]}", 400, "unknown member 'when'"},
        {"{\"then\":[{\"get\":{\"key\":\"k\"}}]}x", 400, "nothing behind the object"},
        {"{\"then\":[{\"get\":{\"key\":\"k\"}},]}", 400, "then[1]"},
        {"{\"then\":[{\"get\":{\"key\":\"k\"}},{\"add\":{}}]}", 400, "then[1]: want put, delete"},
        {"{\"then\":[{}]}", 400, "then[0]: want an object with put, delete or get"},
        {"{\"then\":[{\"get\":{}}]}", 400, "then[0].get: want a key"},
        {"{\"then\":[{\"get\":{\"key\":\"\"}}]}", 400, "then[0].get: want a key"},
        {"{\"then\":[{\"get\":{\"key\":7}}]}", 400, "then[0].get: key: want a string"},
        {"{\"then\":[{\"get\":{\"key\":\"\xff\"}}]}", 400, "then[0].get: key: want a string"},
        {"{\"then\":[{\"get\":{\"key\":\"k\",\"value\":\"v\"}}]}", 400, "unknown member 'value'"},
        {"{\"then\":[{\"get\":{\"key\":\"k\"},\"put\":{}}]}", 400, "want one operation"},
        {"{\"else\":[{\"put\":{\"key\":\"k\"}}]}", 400, "else[0].put: want a value"},
        {"{\"else\":[{\"put\":{\"key\":\"k\",\"value\":null}}]}", 400, "value: want a string"},
        {"{\"else\":[{\"put\":{\"key\":\"k\",\"value\":\"a\",\"value_base64\":\"\"}}]}", 400,
         "given twice: member 'value_base64'"},
        {"{\"else\":[{\"put\":{\"key\":\"k\",\"value_base64\":\"a\"}}]}", 400, "base64"},
        {"{\"else\":[{\"put\":{\"key\":\"12345678901234567\",\"value\":\"\"}}]}", 413,
         "else[0].put: the key has 17 bytes, the limit is 16"},
        {"{\"else\":[{\"put\":{\"key\":\"k\",\"value\":\"123456789012345678901\"}}]}", 413,
         "else[0].put: the value has 21 bytes, the limit is 20"},
        {"{\"if\":[{\"key\":\"k\"}]}", 400, "if[0]: want something to compare"},
        {"{\"if\":[{\"exists\":true}]}", 400, "if[0]: want a key"},
        {"{\"if\":[{\"key\":\"k\",\"exists\":1}]}", 400, "if[0]: exists: want true or false"},
        {"{\"if\":[{\"key\":\"k\",\"revision\":\"1\"}]}", 400, "if[0]: revision: want"},
        {"{\"if\":[{\"key\":\"k\",\"revision\":1.5}]}", 400, "if[0]: want the object's end"},
    };
    for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        int status = read_text(cases[i].text);
        ck_assert_msg(status == cases[i].status && strstr(problem.detail, cases[i].part),
                      "%s: %d %s", cases[i].text, status, problem.detail);
    }
    transaction_drop(&transaction);
}
END_TEST

static void make_many(const char *list, const char *element, unsigned count, char *into)
{
    size_t length = (size_t)sprintf(into, "{\"%s\":[", list);
    for (unsigned i = 0; i < count; i++)
        length += (size_t)sprintf(into + length, "%s%s", i ? "," : "", element);
    strcpy(into + length, "]}");
}

START_TEST(test_transaction_lists_have_a_limit)
{
    static const char *const lists[][2] = {{"if", "{\"key\":\"k\",\"exists\":true}"},
                                           {"then", "{\"get\":{\"key\":\"k\"}}"},
                                           {"else", "{\"delete\":{\"key\":\"k\"}}"}};
    static char text[90000];
    for (unsigned i = 0; i < 3; i++) {
        make_many(lists[i][0], lists[i][1], 1024, text);
        ck_assert_msg(read_text(text) == 0, "%s", problem.detail);
        make_many(lists[i][0], lists[i][1], 1025, text);
        ck_assert_int_eq(read_text(text), 413);
        ck_assert_ptr_nonnull(strstr(problem.detail, "[1024]"));
    }
    transaction_drop(&transaction);
}
END_TEST

/* No bytes do harm: the sanitizers look on. */
START_TEST(test_transaction_json_random_bytes_are_refused_or_taken)
{
    static const char good[] =
        "{\"if\":[{\"key\":\"a\",\"exists\":true,\"revision\":5}],"
        "\"then\":[{\"put\":{\"key_base64\":\"AP8=\",\"value\":\"\\u00e9\"}},"
        "{\"get\":{\"key\":\"g\"}}],\"else\":[{\"delete\":{\"key\":\"d\"}}]}";
    static const char alphabet[] = "{}[]:,\"\\0u9akey falsetruenull\n\xff\xc3";
    uint64_t state = 88172645463325252ull;
    unsigned taken = 0;
    for (unsigned round = 0; round < 20000; round++) {
        char text[sizeof(good)];
        memcpy(text, good, sizeof(good));
        for (unsigned flips = round % 4 + 1; flips > 0; flips--) {
            state ^= state << 13, state ^= state >> 7, state ^= state << 17;
            text[state % (sizeof(good) - 1)] = alphabet[(state >> 32) % (sizeof(alphabet) - 1)];
        }
        int status = read_text(text);
        ck_assert(status == 0 || status == 400 || status == 413);
        taken += status == 0;
    }
    ck_assert_uint_gt(taken, 10);
    transaction_drop(&transaction);
}
END_TEST

/* ---- with raftd ---- */

static struct stand stand;

static void expect(const char *text, int status, const char *part)
{
    struct stand_answer answer = stand_do(&stand, "POST /txn", NULL, text);
    ck_assert_msg(answer.status == status && strstr(answer.body, part), "%s", answer.text);
    stand_answer_free(&answer);
}

static const char put_body[] = "{\"then\":[{\"put\":{\"key\":\"k\",\"value\":\"v\"}}]}";

START_TEST(test_transaction_is_refused_before_it_is_proposed)
{
    stand_open(&stand, FOLLOWER_REDIRECT);
    expect("{\"then\":[{\"put\":{\"key\":\"k\"}}]}", 400, "then[0].put: want a value");
    struct stand_answer answer = stand_do(&stand, "GET /txn", NULL, NULL);
    ck_assert_int_eq(answer.status, 405);
    ck_assert(stand_has_line(&answer, "Allow: POST"));
    stand_answer_free(&answer);
    ck_assert_uint_eq(stand.calls, 0);
    stand_close(&stand);
}
END_TEST

START_TEST(test_transaction_of_a_follower_is_redirected_or_unknown)
{
    stand_open(&stand, FOLLOWER_REDIRECT);
    stand_follow(&stand, "http://127.0.0.1:9");
    struct stand_answer answer = stand_do(&stand, "POST /txn", NULL, put_body);
    ck_assert_int_eq(answer.status, 307);
    ck_assert(stand_has_line(&answer, "Location: http://127.0.0.1:9/txn"));
    stand_answer_free(&answer);
    stand.status = PROTO_STATUS_OK; /* with a result that makes no sense */
    expect(put_body, 504, "\"outcome\":\"unknown\"");
    stand.status = PROTO_STATUS_UNKNOWN;
    expect(put_body, 504, "\"outcome\":\"unknown\"");
    stand.status = PROTO_STATUS_BUSY;
    expect(put_body, 503, "nothing was done");
    stand_close(&stand);
}
END_TEST

/* It arrives as it was sent, though it was read here. */
START_TEST(test_transaction_is_passed_on_by_a_proxy)
{
    static struct leader leader = {
        .acts = {LEADER_ANSWERS},
        .acts_count = 1,
        .answer =
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 3\r\n\r\n{}\n",
    };
    static const char text[] =
        "{\"then\":[{\"put\":{\"key\":\"\\u006b\",\"value_base64\":\"/w==\"}}]}";
    leader_open(&leader);
    stand_open(&stand, FOLLOWER_PROXY);
    stand_follow(&stand, leader.url);
    expect(text, 200, "{}\n");
    stand_close(&stand);
    leader_close(&leader);
    ck_assert_uint_eq(leader.requests_count, 1);
    ck_assert_ptr_nonnull(strstr(leader.requests[0].text, text));
    leader_free(&leader);
}
END_TEST

UNIT_MAIN("transaction", test_transaction_json_becomes_its_lists,
          test_transaction_json_that_is_wrong_is_named, test_transaction_lists_have_a_limit,
          test_transaction_json_random_bytes_are_refused_or_taken,
          test_transaction_is_refused_before_it_is_proposed,
          test_transaction_of_a_follower_is_redirected_or_unknown,
          test_transaction_is_passed_on_by_a_proxy)
