/* /join, /remove and /transfer: from the request to raftd and back. */
#include "stand.h"

#include "../unit.h"

#include <stdio.h>
#include <string.h>

static struct stand stand;

static void expect(const char *method_and_target, const char *body, int status, const char *part)
{
    struct stand_answer answer = stand_do(&stand, method_and_target, NULL, body);
    ck_assert_msg(answer.status == status, "%s %s: %s", method_and_target, body ? body : "",
                  answer.text);
    ck_assert_msg(strstr(answer.body, part) != NULL, "%s %s: no \"%s\" in %s", method_and_target,
                  body ? body : "", part, answer.body);
    ck_assert_int_eq(answer.body[answer.body_bytes - 1], '\n');
    stand_answer_free(&answer);
}

START_TEST(test_changes_reach_raftd_as_they_were_asked)
{
    stand_open(&stand, FOLLOWER_REDIRECT);
    expect("POST /join", "{\"ID\":\"node2\",\"RaftAddr\":\"127.0.0.1:7002\"}", 200, "OK\n");
    ck_assert_int_eq(stand.last_type, PROTO_JOIN);
    ck_assert_str_eq(stand.last_join.id, "node2");
    ck_assert_str_eq(stand.last_join.raft_address, "127.0.0.1:7002");
    expect("POST /join", "{\"id\":\"n.3\",\"raft_addr\":\"[::1]:07003\"}", 200, "OK\n");
    ck_assert_str_eq(stand.last_join.raft_address, "[::1]:7003");
    expect("POST /remove", "{\"ID\":\"node9\"}", 200, "OK\n");
    ck_assert_int_eq(stand.last_type, PROTO_REMOVE);
    ck_assert_str_eq(stand.last_name.id, "node9");
    expect("POST /transfer", "{\"ID\":\"node3\"}", 200, "OK\n");
    ck_assert_int_eq(stand.last_type, PROTO_TRANSFER);
    ck_assert_str_eq(stand.last_name.id, "node3");
    expect("POST /transfer", "", 200, "OK\n");
    ck_assert_str_eq(stand.last_name.id, "");
    stand.last_type = 0;
    expect("POST /transfer", NULL, 200, "OK\n"); /* no Content-Length at all */
    ck_assert_int_eq(stand.last_type, PROTO_TRANSFER);
    ck_assert_uint_eq(stand.calls, 6);
    stand_close(&stand);
}
END_TEST

static char long_id[100], long_address[400], long_body[5000];

START_TEST(test_changes_that_make_no_sense_are_refused_by_name)
{
    static const struct {
        const char *method_and_target, *body;
        int status;
        const char *part;
    } cases[] = {
        {"POST /join", "", 400, "the body is empty: want a JSON object"},
        {"POST /join", "{}", 400, "ID is missing: want the node's id"},
        {"POST /join", "{\"ID\":\"node2\"}", 400, "RaftAddr is missing: want its raft address"},
        {"POST /join", "{\"RaftAddr\":\"h:1\"}", 400, "ID is missing"},
        {"POST /join", "{\"ID\":\"\",\"RaftAddr\":\"h:1\"}", 400, "want 1 to 64 letters"},
        {"POST /join", "{\"ID\":\"a b\",\"RaftAddr\":\"h:1\"}", 400, "ID: bad value 'a b'"},
        {"POST /join", "{\"ID\":\"n\",\"RaftAddr\":\"h\"}", 400, "RaftAddr: bad value 'h': want"},
        {"POST /join", "{\"ID\":\"n\",\"RaftAddr\":\":7002\"}", 400, "want host:port"},
        {"POST /join", "{\"ID\":\"n\",\"RaftAddr\":\"h:0\"}", 400, "a port from 1 to 65535"},
        {"POST /join", "{\"ID\":\"n\",\"RaftAddr\":\"h:65536\"}", 400, "RaftAddr"},
        {"POST /join", "{\"ID\":\"n\",\"RaftAddr\":\"h:1/x\"}", 400, "RaftAddr"},
        {"POST /join", "{\"ID\":\"n\",\"RaftAddr\":\"http://h:1\"}", 400, "RaftAddr"},
        {"POST /join", long_id, 400, "want 1 to 64 letters"},
        {"POST /join", long_address, 400, "RaftAddr"},
        {"POST /join", long_body, 413, "the body is over the limit of 4096 bytes"},
        {"POST /remove", "", 400, "the body is empty"},
        {"POST /remove", "{}", 400, "ID is missing"},
        {"POST /remove", "{\"ID\":\"n\",\"RaftAddr\":\"h:1\"}", 400, "unknown member 'RaftAddr'"},
        {"POST /transfer", "{\"ID\":\"\"}", 400, "ID: bad value ''"},
        {"POST /transfer", "nonsense", 400, "the body is not JSON"},
        {"GET /join", NULL, 405, "POST"},
        {"PUT /remove", "{}", 405, "POST"},
        {"POST /transfer?now=1", "", 400, "unknown query parameter 'now'"},
    };
    snprintf(long_id, sizeof(long_id), "{\"ID\":\"%065d\",\"RaftAddr\":\"h:1\"}", 0);
    snprintf(long_address, sizeof(long_address), "{\"ID\":\"n\",\"RaftAddr\":\"%0300d:1\"}", 0);
    memset(long_body, ' ', sizeof(long_body) - 1);
    stand_open(&stand, FOLLOWER_REDIRECT);
    for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        expect(cases[i].method_and_target, cases[i].body, cases[i].status, cases[i].part);
    ck_assert_uint_eq(stand.calls, 0);
    stand_close(&stand);
}
END_TEST

static const char join_body[] = "{\"ID\":\"node2\",\"RaftAddr\":\"127.0.0.1:7002\"}";

START_TEST(test_changes_answers_of_raftd_have_their_status)
{
    static const struct {
        uint16_t status;
        const char *reason;
        int http_status;
        const char *part, *line;
    } cases[] = {
        {PROTO_STATUS_NOT_FOUND, NULL, 404, "no member of this id", NULL},
        {PROTO_STATUS_NOT_FOUND, "node7 is unknown", 404, "node7 is unknown", NULL},
        {PROTO_STATUS_REFUSED, "it has data of its own", 409, "it has data of its own", NULL},
        {PROTO_STATUS_UNREACHABLE, "no route", 502, "no route", NULL},
        {PROTO_STATUS_UNREACHABLE, NULL, 502, "cannot be reached", NULL},
        {PROTO_STATUS_BUSY, NULL, 503, "another change", "Retry-After: 1"},
        {PROTO_STATUS_UNAVAILABLE, NULL, 503, "\"leader\":\"\"", "Retry-After: 1"},
        {PROTO_STATUS_UNKNOWN, NULL, 504, "\"outcome\":\"unknown\"", NULL},
        {PROTO_STATUS_BAD_REQUEST, NULL, 400, "makes no sense", NULL},
        {PROTO_STATUS_NOT_LEADER, NULL, 503, "\"leader\":\"\"", "Retry-After: 1"},
        {PROTO_STATUS_GAP, NULL, 500, "unexpected status gap", NULL},
    };
    stand_open(&stand, FOLLOWER_REDIRECT);
    for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        stand.status = cases[i].status;
        stand.reason = cases[i].reason;
        struct stand_answer answer = stand_do(&stand, "POST /join", NULL, join_body);
        ck_assert_msg(answer.status == cases[i].http_status && strstr(answer.body, cases[i].part),
                      "%u: %s", cases[i].status, answer.text);
        ck_assert(stand_has_line(&answer, "Content-Type: application/problem+json"));
        ck_assert_msg(!cases[i].line || stand_has_line(&answer, cases[i].line), "%s", answer.text);
        stand_answer_free(&answer);
    }
    stand_close(&stand);
}
END_TEST

static void finish(struct stand *which)
{
    changes_finish(which->httpd.changes);
}

/* Invariant 8: refused by raftd, it was not done; asked for and not answered, nobody knows; never
 * asked for, it was not done. */
START_TEST(test_changes_without_an_answer_are_unknown)
{
    stand_open(&stand, FOLLOWER_REDIRECT);
    stand.refuses = true;
    expect("POST /join", join_body, 503, "nothing was changed");
    stand.refuses = false;
    stand.silent = true;
    stand.then = finish; /* httpd stops while it waits */
    expect("POST /transfer", "", 504, "\"outcome\":\"unknown\"");
    stand.then = stand_end_raftd;
    expect("POST /join", join_body, 504, "\"outcome\":\"unknown\"");
    expect("POST /remove", "{\"ID\":\"n\"}", 503, "nothing was changed");
    ck_assert_uint_eq(stand.calls, 3);
    stand_close(&stand);
}
END_TEST

UNIT_MAIN("changes", test_changes_reach_raftd_as_they_were_asked,
          test_changes_that_make_no_sense_are_refused_by_name,
          test_changes_answers_of_raftd_have_their_status,
          test_changes_without_an_answer_are_unknown)
