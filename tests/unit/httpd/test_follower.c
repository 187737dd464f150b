/* A node that is not the leader: redirect, conflict, and what holds in every mode. */
#include "stand.h"

#include "../unit.h"

#include <stdio.h>
#include <string.h>

static struct stand stand;

static const char *const targets[] = {
    "/kv?key=a",
    "/kv?key=a%20b%2F%00&stale=false",
    "/kv/a%2fb/../c//d?stale=0",
    "/kv/%e2%82%ac",
    "/kv/\xe2\x82\xac",
    "/kv/a'\"<>&b",
    "/kv/a?",
};
#define TARGETS_COUNT (sizeof(targets) / sizeof(*targets))

static void ask(const char *method, const char *target, const char *body, struct stand_answer *into)
{
    char line[512];
    snprintf(line, sizeof(line), "%s %s", method, target);
    *into = stand_do(&stand, line, NULL, body);
}

static void check_leader_members(const struct stand_answer *answer)
{
    ck_assert_ptr_nonnull(strstr(answer->body, "\"leader\":\"127.0.0.1:7001\""));
    ck_assert_ptr_nonnull(strstr(answer->body, "\"leader_id\":\"node1\""));
    ck_assert_ptr_nonnull(strstr(answer->body, "\"leader_url\":\"http://10.0.0.1:8081\""));
    ck_assert(stand_has_line(answer, "Content-Type: application/problem+json"));
}

START_TEST(test_follower_redirects_to_the_same_target_at_the_leader)
{
    struct stand_answer answer;
    char line[512];
    stand_open(&stand, FOLLOWER_REDIRECT);
    stand_follow(&stand, "http://10.0.0.1:8081");
    for (unsigned i = 0; i < TARGETS_COUNT; i++) {
        ask("GET", targets[i], NULL, &answer);
        snprintf(line, sizeof(line), "Location: http://10.0.0.1:8081%s", targets[i]);
        ck_assert_msg(answer.status == 307 && stand_has_line(&answer, line), "%s: %s", line,
                      answer.text);
        check_leader_members(&answer);
        stand_answer_free(&answer);
    }
    ask("PUT", "/kv/a", "value", &answer);
    ck_assert(stand_has_line(&answer, "Location: http://10.0.0.1:8081/kv/a"));
    ck_assert_int_eq(answer.status, 307);
    stand_answer_free(&answer);
    ask("POST", "/remove", "{\"ID\":\"node3\"}", &answer);
    ck_assert(stand_has_line(&answer, "Location: http://10.0.0.1:8081/remove"));
    ck_assert_int_eq(answer.status, 307);
    stand_answer_free(&answer);
    stand_close(&stand);
}
END_TEST

/* The longest key, every byte escaped. */
START_TEST(test_follower_redirects_a_long_target)
{
    static char target[LIMIT_HTTP_URI_BYTES_MAX + 1], line[LIMIT_HTTP_URI_BYTES_MAX + 64];
    static char request[sizeof(target) + 64];
    stand_open(&stand, FOLLOWER_REDIRECT);
    stand_follow(&stand, "http://10.0.0.1:8081");
    strcpy(target, "/kv/");
    for (size_t at = 4; at + 3 <= 4 + 3 * LIMIT_KEY_BYTES_CAP; at += 3)
        memcpy(target + at, "%41", 4);
    snprintf(request, sizeof(request), "GET %s", target);
    struct stand_answer answer = stand_do(&stand, request, NULL, NULL);
    snprintf(line, sizeof(line), "Location: http://10.0.0.1:8081%s", target);
    ck_assert_int_eq(answer.status, 307);
    ck_assert(stand_has_line(&answer, line));
    stand_answer_free(&answer);
    stand_close(&stand);
}
END_TEST

START_TEST(test_follower_conflict_names_the_leader)
{
    static const struct {
        const char *method, *target, *body;
    } cases[] = {{"GET", "/kv/a", NULL},
                 {"PUT", "/kv/a", "v"},
                 {"DELETE", "/kv/a", NULL},
                 {"POST", "/transfer", ""}};
    stand_open(&stand, FOLLOWER_CONFLICT);
    stand_follow(&stand, "http://10.0.0.1:8081");
    for (unsigned i = 0; i < 4; i++) {
        struct stand_answer answer;
        ask(cases[i].method, cases[i].target, cases[i].body, &answer);
        ck_assert_int_eq(answer.status, 409);
        ck_assert_ptr_null(strstr(answer.text, "Location:"));
        check_leader_members(&answer);
        stand_answer_free(&answer);
    }
    stand_close(&stand);
}
END_TEST

START_TEST(test_follower_without_a_leader_says_503_in_every_mode)
{
    static const enum config_follower_mode modes[] = {FOLLOWER_REDIRECT, FOLLOWER_PROXY,
                                                      FOLLOWER_CONFLICT};
    for (unsigned i = 0; i < 3; i++) {
        struct stand_answer answer;
        stand_open(&stand, modes[i]);
        stand.status = PROTO_STATUS_NOT_LEADER;
        for (unsigned k = 0; k < 3; k++) {
            static const char *const methods[] = {"GET", "PUT", "DELETE"};
            ask(methods[k], "/kv/a", k == 1 ? "v" : NULL, &answer);
            ck_assert_int_eq(answer.status, 503);
            ck_assert(stand_has_line(&answer, "Retry-After: 1"));
            ck_assert_ptr_nonnull(strstr(answer.body, "\"leader\":\"\""));
            ck_assert_ptr_null(strstr(answer.body, "leader_id"));
            stand_answer_free(&answer);
        }
        stand_close(&stand);
    }
}
END_TEST

/* What a node passed on ends here, whatever this node's mode is. */
START_TEST(test_follower_sends_nothing_further_that_was_forwarded)
{
    static const enum config_follower_mode modes[] = {FOLLOWER_REDIRECT, FOLLOWER_PROXY,
                                                      FOLLOWER_CONFLICT};
    for (unsigned i = 0; i < 3; i++) {
        stand_open(&stand, modes[i]);
        stand_follow(&stand, "http://127.0.0.1:1"); /* nobody must go there */
        struct stand_answer answer =
            stand_do(&stand, "PUT /kv/a", "x-conure-forwarded-by: node3\r\n", "v");
        ck_assert_int_eq(answer.status, 503);
        ck_assert(stand_has_line(&answer, "Retry-After: 1"));
        ck_assert_ptr_nonnull(strstr(answer.body, "not the leader any more"));
        stand_answer_free(&answer);
        answer = stand_do(&stand, "GET /kv/a",
                          "X-Conure-Forwarded-By: a\r\nX-Conure-Forwarded-By: b\r\n", NULL);
        ck_assert_int_eq(answer.status, 400);
        stand_answer_free(&answer);
        stand_close(&stand);
    }
}
END_TEST

UNIT_MAIN("follower", test_follower_redirects_to_the_same_target_at_the_leader,
          test_follower_redirects_a_long_target, test_follower_conflict_names_the_leader,
          test_follower_without_a_leader_says_503_in_every_mode,
          test_follower_sends_nothing_further_that_was_forwarded)
