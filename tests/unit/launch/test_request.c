#include "../unit.h"

#include "kinds.h"
#include "launch_limits.h"
#include "request.h"

#include <errno.h>
#include <string.h>

static const struct {
    const char *line;
    enum request_verb verb;
    const char *daemon;
} good[] = {
    {"status", REQUEST_STATUS, "storaged"},
    {"start storaged", REQUEST_START, "storaged"},
    {"stop raftd", REQUEST_STOP, "raftd"},
    {"restart httpd", REQUEST_RESTART, "httpd"},
    {"  restart   conure-raftd ", REQUEST_RESTART, "raftd"},
};

static const struct {
    const char *line, *reason;
} bad[] = {
    {"", "want status, start D, stop D or restart D"},
    {"   ", "want status, start D, stop D or restart D"},
    {"strat httpd", "unknown command \"strat\": did you mean start?"},
    {"zzzzzz", "unknown command \"zzzzzz\": want status, start, stop or restart"},
    {"restart", "restart: want one of storaged, raftd, httpd"},
    {"restart httpd raftd", "restart: want one of storaged, raftd, httpd"},
    {"stop htpd", "unknown daemon \"htpd\": did you mean httpd?"},
    {"stop everything", "unknown daemon \"everything\": want storaged, raftd or httpd"},
    {"status all", "status: unexpected argument \"all\""},
    {"status all of them", "status: unexpected argument \"all\""},
};

START_TEST(test_request_good_lines_are_understood)
{
    for (unsigned i = 0; i < sizeof(good) / sizeof(*good); i++) {
        struct request request = {.verb = REQUEST_VERBS};
        ck_assert_int_eq(request_parse(good[i].line, &request, NULL), 0);
        ck_assert_int_eq(request.verb, good[i].verb);
        ck_assert_str_eq(kinds[request.daemon].name, good[i].daemon);
    }
}
END_TEST

START_TEST(test_request_bad_lines_are_refused_with_the_reason)
{
    for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct request request;
        struct error error = {""};
        ck_assert_int_eq(request_parse(bad[i].line, &request, &error), -EINVAL);
        ck_assert_str_eq(error.text, bad[i].reason);
    }
}
END_TEST

START_TEST(test_request_too_long_is_refused)
{
    char line[LAUNCH_REQUEST_BYTES_MAX + 1];
    struct request request;
    memset(line, ' ', sizeof(line));
    memcpy(line, "status", 6);
    line[LAUNCH_REQUEST_BYTES_MAX - 1] = '\0';
    ck_assert_int_eq(request_parse(line, &request, NULL), 0);
    line[LAUNCH_REQUEST_BYTES_MAX - 1] = ' ';
    line[LAUNCH_REQUEST_BYTES_MAX] = '\0';
    ck_assert_int_eq(request_parse(line, &request, NULL), -EINVAL);
}
END_TEST

UNIT_MAIN("launch/request", test_request_good_lines_are_understood,
          test_request_bad_lines_are_refused_with_the_reason, test_request_too_long_is_refused)
