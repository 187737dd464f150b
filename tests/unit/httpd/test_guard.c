/* Heads are given as they come from the socket. */
#include "guard.h"

#include "../unit.h"
#include "head.h"

#include <stdio.h>
#include <string.h>

static int check(const char *raw, size_t length, struct guard_findings *findings,
                 struct problem *problem)
{
    static struct guard_head head;
    ck_assert(head_cut(&head, raw, length));
    return guard_check(&head, findings, problem);
}

#define CHECK(raw, findings, problem) check(raw, sizeof(raw) - 1, findings, problem)

START_TEST(test_guard_takes_sound_heads)
{
    static const char *const heads[] = {
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /kv?key=a&stale=true HTTP/1.1\r\nHost:a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: [::1]:8081\r\nAccept: */*\r\n\r\n",
        "GET / HTTP/1.1\r\nHost:\r\n\r\n",
        "GET / HTTP/1.1\r\nHost:   \ta.example:80\r\nX: a  \r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX-Note: caf\xc3\xa9 \"x\"\t(y)\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: a\r\n\r\n",
        "PUT /kv/a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        "PUT /kv/a HTTP/1.1\r\nContent-length: 10\r\nhost: a\r\n\r\n",
        "PUT /kv/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n",
        "M-SEARCH / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nAccept: a\r\nAccept: b\r\n\r\n",
    };
    for (unsigned i = 0; i < sizeof(heads) / sizeof(*heads); i++) {
        struct guard_findings findings;
        struct problem problem = {0};
        ck_assert_msg(check(heads[i], strlen(heads[i]), &findings, &problem) == 0, "%s: %s",
                      heads[i], problem.detail);
    }
}
END_TEST

START_TEST(test_guard_refuses_doubtful_heads)
{
#define HEAD(raw)                                                                                  \
    {                                                                                              \
        raw, sizeof(raw) - 1                                                                       \
    }
    static const struct {
        const char *raw;
        size_t length;
    } heads[] = {
        /* the request line */
        HEAD("GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
        HEAD("GET / HTTP/1.1\nHost: a\r\n\r\n"),
        HEAD("G(T / HTTP/1.1\r\nHost: a\r\n\r\n"),
        HEAD("G\tT / HTTP/1.1\r\nHost: a\r\n\r\n"),
        HEAD("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA / HTTP/1.1\r\nHost: a\r\n\r\n"),
        HEAD("GET /  HTTP/1.1\r\nHost: a\r\n\r\n"),
        HEAD("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"),
        HEAD("GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n"),
        HEAD("GET /a\x7f HTTP/1.1\r\nHost: a\r\n\r\n"),
        HEAD("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"),
        HEAD("GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
        HEAD("GET a HTTP/1.1\r\nHost: a\r\n\r\n"),
        HEAD("GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
        HEAD("CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n"),
        /* line ends and folds */
        HEAD("GET / HTTP/1.1\r\nHost: a\n\r\n"),
        HEAD("GET / HTTP/1.1\r\nHost: a\r\n\n"),
        HEAD("GET / HTTP/1.1\r\nHost: a\r\nX: b\nY: c\r\n\r\n"),
        HEAD("GET / HTTP/1.1\r\nHost: a\r\nX: b\rY: c\r\n\r\n"),
        HEAD("GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n"),
        HEAD("GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n\tc\r\nY: d\r\n\r\n"),
        /* bytes */
        HEAD("GET / HTTP/1.1\r\nHost: a\r\nX: b\0c\r\n\r\n"),
        HEAD("GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n"),
        HEAD("GET / HTTP/1.1\r\nHost: a\r\nX: b\x01\r\n\r\n"),
        HEAD("GET / HTTP/1.1\r\nHost: a\r\nX: b\x7f\r\n\r\n"),
        HEAD("GET / HTTP/1.1\r\nHost: a\r\nX y: b\r\n\r\n"),
        HEAD("GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n"),
        HEAD("GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n"),
        HEAD("GET / HTTP/1.1\r\nHost: a\r\nX\xc3\xa9: b\r\n\r\n"),
        /* Host */
        HEAD("GET / HTTP/1.1\r\nX: a\r\n\r\n"),
        HEAD("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
        HEAD("GET / HTTP/1.1\r\nHost: a\r\nHOST: b\r\n\r\n"),
        HEAD("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"),
        HEAD("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"),
        HEAD("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
        HEAD("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
        HEAD("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
        /* where the request ends */
        HEAD("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n"),
        HEAD("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\ncontent-length: 2\r\n\r\n"),
        HEAD("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n"),
        HEAD("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n"),
        HEAD("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n"),
        HEAD("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n"),
        HEAD("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\n"),
        HEAD("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1 \r\n\r\n"),
        HEAD("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1.0\r\n\r\n"),
        HEAD("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\n"),
        HEAD("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n"),
        HEAD(
            "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
        HEAD(
            "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n"),
        HEAD("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
             "Transfer-Encoding: chunked\r\n\r\n"),
        HEAD("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n"),
        HEAD("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"),
        HEAD("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n"),
        HEAD("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n"),
        HEAD("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked \r\n\r\n"),
        HEAD("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n"),
        HEAD("PUT / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"),
        HEAD("PUT / HTTP/1.1\r\nHost: a\r\nIf-Match: \"1\"\r\nIf-Match: \"2\"\r\n\r\n"),
    };
    for (unsigned i = 0; i < sizeof(heads) / sizeof(*heads); i++) {
        struct guard_findings findings = {.content_length = 77};
        struct problem problem = {0};
        int status = check(heads[i].raw, heads[i].length, &findings, &problem);
        ck_assert_msg(status == 400, "%u: %d for %s", i, status, heads[i].raw);
        ck_assert_uint_eq(problem.status, 400);
        ck_assert_uint_eq(findings.content_length, 77); /* untouched */
        ck_assert(problem.close);
        ck_assert_uint_gt(strlen(problem.detail), 0);
    }
}
END_TEST

START_TEST(test_guard_finds_what_the_head_says)
{
    struct guard_findings findings;
    struct problem problem;
    ck_assert_int_eq(CHECK("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\n"
                           "Content-Length: 0012\r\nIf-Match: \"7\"\r\n\r\n",
                           &findings, &problem),
                     0);
    ck_assert_uint_eq(findings.content_length, 12);
    ck_assert(findings.expects_continue);
    ck_assert(!findings.chunked);
    ck_assert_str_eq(findings.if_match, "\"7\"");
    ck_assert_ptr_null(findings.if_none_match);
    ck_assert_int_eq(CHECK("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
                           "If-None-Match: *\r\n\r\n",
                           &findings, &problem),
                     0);
    ck_assert(findings.chunked);
    ck_assert_uint_eq(findings.content_length, 0);
    ck_assert_str_eq(findings.if_none_match, "*");
}
END_TEST

START_TEST(test_guard_refuses_what_is_too_large)
{
    static char raw[65536];
    struct guard_findings findings;
    struct problem problem;
    char filler[40000];
    memset(filler, 'a', sizeof(filler));
    snprintf(raw, sizeof(raw), "GET /%.*s HTTP/1.1\r\nHost: a\r\n\r\n",
             (int)LIMIT_HTTP_URI_BYTES_MAX - 1, filler);
    ck_assert_int_eq(check(raw, strlen(raw), &findings, &problem), 0);
    snprintf(raw, sizeof(raw), "GET /%.*s HTTP/1.1\r\nHost: a\r\n\r\n",
             (int)LIMIT_HTTP_URI_BYTES_MAX, filler);
    ck_assert_int_eq(check(raw, strlen(raw), &findings, &problem), 414);
    snprintf(raw, sizeof(raw), "GET / HTTP/1.1\r\nHost: a\r\nX: %.*s\r\n\r\n",
             (int)LIMIT_HTTP_HEADER_BYTES_MAX, filler);
    ck_assert_int_eq(check(raw, strlen(raw), &findings, &problem), 431);
    ck_assert(problem.close);
}
END_TEST

START_TEST(test_guard_refuses_too_many_fields)
{
    static char raw[65536];
    struct guard_findings findings;
    struct problem problem;
    static struct guard_head head;
    int length = snprintf(raw, sizeof(raw), "GET / HTTP/1.1\r\nHost: a\r\n");
    for (unsigned i = 1; i < HTTPD_FIELDS_MAX; i++)
        length += snprintf(raw + length, sizeof(raw) - (size_t)length, "X: b\r\n");
    snprintf(raw + length, sizeof(raw) - (size_t)length, "\r\n");
    head_cut(&head, raw, strlen(raw));
    ck_assert_int_eq(guard_check(&head, &findings, &problem), 0);
    head.fields_count = HTTPD_FIELDS_MAX + 1;
    ck_assert_int_eq(guard_check(&head, &findings, &problem), 431);
}
END_TEST

UNIT_MAIN("guard", test_guard_takes_sound_heads, test_guard_refuses_doubtful_heads,
          test_guard_finds_what_the_head_says, test_guard_refuses_what_is_too_large,
          test_guard_refuses_too_many_fields)
