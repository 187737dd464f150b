#include "fields.h"

#include "../unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static char first[32], second[32];

static int take_short(const char *text, void *into, struct error *error)
{
    if (strlen(text) > 8)
        return error_set(error, -EINVAL, "want at most 8 bytes");
    strcpy(into, text);
    return 0;
}

static int read_bytes(const char *body, size_t length, struct problem *problem)
{
    struct field fields[] = {
        {.name = "ID", .take = take_short, .into = first, .want = "a name"},
        {.name = "RaftAddr",
         .also = "raft_addr",
         .take = take_short,
         .into = second,
         .want = "an address"},
    };
    first[0] = second[0] = '\0';
    char *exact = malloc(length ? length : 1); /* the sanitizers see a byte too far */
    memcpy(exact, body, length);
    int status = fields_read(exact, length, fields, 2, problem);
    free(exact);
    return status;
}

START_TEST(test_fields_are_taken_under_their_names)
{
    static const char *const bodies[] = {
        "{\"ID\":\"n\",\"RaftAddr\":\"a\"}",
        " \t\r\n{ \"RaftAddr\" : \"a\" , \"ID\" : \"n\" }\r\n",
        "{\"id\":\"n\",\"raft_addr\":\"a\"}",
        "{\"Id\":\"n\",\"raftaddr\":\"a\"}",
        "{\"\\u0049D\":\"\\u006e\",\"RaftAddr\":\"a\"}",
    };
    for (unsigned i = 0; i < sizeof(bodies) / sizeof(*bodies); i++) {
        struct problem problem = {0};
        int status = read_bytes(bodies[i], strlen(bodies[i]), &problem);
        ck_assert_msg(status == 0, "%s: %s", bodies[i], problem.detail);
        ck_assert_str_eq(first, "n");
        ck_assert_str_eq(second, "a");
    }
}
END_TEST

START_TEST(test_fields_that_are_not_given_are_no_error_here)
{
    struct problem problem;
    ck_assert_int_eq(read_bytes("{}", 2, &problem), 0);
    ck_assert_str_eq(first, "");
}
END_TEST

#define BODY(text) text, sizeof(text) - 1

START_TEST(test_fields_refuse_what_they_do_not_know)
{
    static const struct {
        const char *body;
        size_t length;
        const char *detail;
    } cases[] = {
        {BODY(""), "the body is empty"},
        {BODY(" "), "the body is not JSON"},
        {BODY("null"), "the body is not a JSON object"},
        {BODY("[\"ID\"]"), "the body is not a JSON object"},
        {BODY("\"ID\""), "the body is not a JSON object"},
        {BODY("{"), "the body is not JSON"},
        {BODY("{\"ID\":\"n\""), "the body is not JSON"},
        {BODY("{\"ID\":\"n\"} {}"), "the body is not JSON"},
        {BODY("{\"ID\":\"n\"}x"), "the body is not JSON"},
        {BODY("{\"ID\":\"n\"}\0"), "the body is not text"},
        {BODY("{\"ID\":\"n\0\"}"), "the body is not text"},
        {BODY("{\"ID\":\"n\\u0000evil\"}"), "the body is not text"},
        {BODY("{\"I\\u0000D\":\"n\"}"), "the body is not text"},
        {BODY("{ID:\"n\"}"), "the body is not JSON"},
        {BODY("{'ID':'n'}"), "the body is not JSON"},
        {BODY("ID=n&RaftAddr=a"), "the body is not JSON"},
        {BODY("{\"ID\":7}"), "ID: want a string: a name"},
        {BODY("{\"ID\":null}"), "ID: want a string: a name"},
        {BODY("{\"ID\":[\"n\"]}"), "ID: want a string: a name"},
        {BODY("{\"ID\":{\"ID\":\"n\"}}"), "ID: want a string: a name"},
        {BODY("{\"RaftAddr\":true}"), "RaftAddr: want a string: an address"},
        {BODY("{\"ID\":\"123456789\"}"), "ID: bad value '123456789': want at most 8 bytes"},
        {BODY("{\"ID\":\"n\",\"ID\":\"m\"}"), "ID is given twice"},
        {BODY("{\"ID\":\"n\",\"id\":\"m\"}"), "ID is given twice"},
        {BODY("{\"IDD\":\"n\"}"), "unknown member 'IDD': want ID and RaftAddr"},
        {BODY("{\"\":\"n\"}"), "unknown member '': want ID and RaftAddr"},
        {BODY("{\"ID\":\"n\",\"Voter\":\"a\"}"), "unknown member 'Voter'"},
    };
    for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct problem problem = {0};
        int status = read_bytes(cases[i].body, cases[i].length, &problem);
        ck_assert_msg(status == 400, "%s: %d", cases[i].body, status);
        ck_assert_msg(!strncmp(problem.detail, cases[i].detail, strlen(cases[i].detail)), "%s: %s",
                      cases[i].body, problem.detail);
    }
}
END_TEST

/* Deep and broken JSON, and bytes that are none at all. */
START_TEST(test_fields_any_bytes_end_in_a_status)
{
    static char body[4096];
    struct problem problem;
    memset(body, '[', sizeof(body));
    ck_assert_int_eq(read_bytes(body, sizeof(body), &problem), 400);
    memset(body, '"', sizeof(body));
    ck_assert_int_eq(read_bytes(body, sizeof(body), &problem), 400);
    for (unsigned seed = 1; seed <= 2000; seed++) {
        static const char sample[] = "{\"ID\":\"n\\u00e9\",\"RaftAddr\":\"a\",\"x\":[1,2e3]}";
        uint64_t state = seed * 0x9e3779b97f4a7c15ull;
        memcpy(body, sample, sizeof(sample));
        for (unsigned flips = 1 + seed % 4; flips > 0; flips--) {
            state ^= state << 13, state ^= state >> 7, state ^= state << 17;
            body[state % (sizeof(sample) - 1)] = (char)(state >> 32);
        }
        int status = read_bytes(body, sizeof(sample) - 1, &problem);
        ck_assert_msg(status == 0 || status == 400, "seed %u", seed);
    }
}
END_TEST

UNIT_MAIN("fields", test_fields_are_taken_under_their_names,
          test_fields_that_are_not_given_are_no_error_here,
          test_fields_refuse_what_they_do_not_know, test_fields_any_bytes_end_in_a_status)
