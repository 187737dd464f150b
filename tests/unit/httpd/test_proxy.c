/* follower_mode proxy against a leader that does as the test says. */
#include "stand.h"

#include "clock.h"
#include "httpd_limits.h"
#include "proxy.h"

#include "../unit.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct stand stand;
static struct leader leader;

static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Type: text/plain; "
                         "charset=utf-8\r\nETag: \"7\"\r\nX-Conure-Revision: 7\r\n"
                         "X-Secret: x\r\nServer: y\r\n\r\nOK\n";

static void begin(const char *answer, unsigned acts_count, const enum leader_act *acts)
{
    leader = (struct leader){.answer = answer, .acts_count = acts_count};
    memcpy(leader.acts, acts, acts_count * sizeof(*acts));
    leader_open(&leader);
    stand_open(&stand, FOLLOWER_PROXY);
    stand_follow(&stand, leader.url);
}

static void begin_answering(const char *answer)
{
    static const enum leader_act acts[] = {LEADER_ANSWERS};
    begin(answer, 1, acts);
}

static void end(void)
{
    stand_close(&stand);
    leader_close(&leader);
    leader_free(&leader);
}

static bool request_has(unsigned place, const char *line)
{
    char whole[9000];
    snprintf(whole, sizeof(whole), "\r\n%s\r\n", line);
    const char *at = strstr(leader.requests[place].text, whole);
    return at && (size_t)(at - leader.requests[place].text) < leader.requests[place].head_bytes;
}

START_TEST(test_proxy_passes_a_write_and_its_answer)
{
    begin_answering(ok);
    struct stand_answer answer =
        stand_do(&stand, "PUT /kv/a%2fb?",
                 "If-Match: \"5\"\r\nX-Own: z\r\nContent-Type: application/json\r\n", "the value");
    ck_assert_int_eq(answer.status, 200);
    ck_assert_str_eq(answer.body, "OK\n");
    ck_assert(stand_has_line(&answer, "ETag: \"7\""));
    ck_assert(stand_has_line(&answer, "X-Conure-Revision: 7"));
    ck_assert(stand_has_line(&answer, "Content-Type: text/plain; charset=utf-8"));
    ck_assert(stand_has_line(&answer, "X-Content-Type-Options: nosniff"));
    ck_assert_ptr_null(strstr(answer.text, "X-Secret"));
    ck_assert_ptr_null(strstr(answer.text, "Server"));
    stand_answer_free(&answer);
    ck_assert_uint_eq(leader.requests_count, 1);
    const struct leader_request *request = &leader.requests[0];
    static const char line[] = "PUT /kv/a%2fb? HTTP/1.1\r\n";
    ck_assert_msg(!strncmp(request->text, line, strlen(line)), "%s", request->text);
    ck_assert_str_eq(request->text + request->head_bytes, "the value");
    ck_assert(request_has(0, "If-Match: \"5\""));
    ck_assert(request_has(0, "X-Conure-Forwarded-By: node2"));
    ck_assert(request_has(0, "Content-Length: 9"));
    ck_assert_ptr_null(strstr(request->text, "X-Own"));
    ck_assert_ptr_null(strstr(request->text, "Expect"));
    ck_assert_ptr_null(strstr(request->text, "Content-Type"));
    end();
}
END_TEST

START_TEST(test_proxy_passes_targets_byte_for_byte)
{
    static const char *const targets[] = {
        "/kv?key=a%20b%2F%00&stale=false",
        "/kv/a%2fb/../c//d?stale=0",
        "/kv/%e2%82%ac",
        "/kv/\xe2\x82\xac",
        "/kv/a'\"<>&{}|\\^`b",
        "/kv/http://x/",
        "/kv/@h:80/a?",
    };
    char line[256];
    begin_answering(ok);
    for (unsigned i = 0; i < sizeof(targets) / sizeof(*targets); i++) {
        snprintf(line, sizeof(line), "GET %s", targets[i]);
        struct stand_answer answer = stand_do(&stand, line, NULL, NULL);
        ck_assert_msg(answer.status == 200, "%s: %s", line, answer.text);
        stand_answer_free(&answer);
        strcat(line, " HTTP/1.1\r\n");
        ck_assert_msg(!strncmp(leader.requests[i].text, line, strlen(line)), "%s",
                      leader.requests[i].text);
        ck_assert_uint_eq(leader.requests[i].connection, 1); /* the connection is kept */
    }
    end();
}
END_TEST

START_TEST(test_proxy_passes_each_method)
{
    static const struct {
        const char *method_and_target, *body, *header;
    } cases[] = {
        {"GET /kv/a", NULL, NULL},
        {"DELETE /kv/a", NULL, "If-None-Match: *"},
        {"PUT /kv/a", "", "Content-Length: 0"},
        {"PUT /kv?key=a&value=b", NULL, "Content-Length: 0"},
        {"POST /transfer", "", "Content-Length: 0"},
        {"POST /remove", "{\"ID\":\"node3\"}", "Content-Length: 14"},
    };
    begin_answering(ok);
    for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char line[128];
        snprintf(line, sizeof(line), "%s HTTP/1.1\r\n", cases[i].method_and_target);
        struct stand_answer answer =
            stand_do(&stand, cases[i].method_and_target,
                     strstr(line, "DELETE") ? "If-None-Match: *\r\n" : NULL, cases[i].body);
        ck_assert_msg(answer.status == 200, "%s: %s", line, answer.text);
        stand_answer_free(&answer);
        ck_assert_msg(!strncmp(leader.requests[i].text, line, strlen(line)), "%s",
                      leader.requests[i].text);
        ck_assert_msg(!cases[i].header || request_has(i, cases[i].header), "%s",
                      leader.requests[i].text);
        ck_assert_str_eq(leader.requests[i].text + leader.requests[i].head_bytes,
                         cases[i].body ? cases[i].body : "");
    }
    end();
}
END_TEST

START_TEST(test_proxy_head_has_the_length_of_the_body)
{
    begin_answering("HTTP/1.1 200 OK\r\nContent-Length: 123456\r\nETag: \"9\"\r\n\r\n");
    struct stand_answer answer = stand_do(&stand, "HEAD /kv/a", NULL, NULL);
    ck_assert_int_eq(answer.status, 200);
    ck_assert(stand_has_line(&answer, "Content-Length: 123456"));
    ck_assert(stand_has_line(&answer, "ETag: \"9\""));
    ck_assert_uint_eq(answer.body_bytes, 0);
    ck_assert(!strncmp(leader.requests[0].text, "HEAD /kv/a HTTP/1.1\r\n", 21));
    stand_answer_free(&answer);
    end();
}
END_TEST

START_TEST(test_proxy_passes_problems_as_they_are)
{
    static const struct {
        const char *head;
        int status;
        const char *line;
    } cases[] = {
        {"404 Not Found\r\n", 404, NULL},
        {"412 Precondition Failed\r\n", 412, NULL},
        {"503 Service Unavailable\r\nRetry-After: 1\r\n", 503, "Retry-After: 1"},
        {"504 Gateway Timeout\r\n", 504, NULL},
    };
    static const char body[] = "{\"title\":\"x\",\"outcome\":\"unknown\"}\n";
    for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char text[512];
        snprintf(
            text, sizeof(text),
            "HTTP/1.1 %sContent-Type: application/problem+json\r\nContent-Length: %zu\r\n\r\n%s",
            cases[i].head, strlen(body), body);
        begin_answering(text);
        struct stand_answer answer = stand_do(&stand, "PUT /kv/a", NULL, "v");
        ck_assert_int_eq(answer.status, cases[i].status);
        ck_assert(stand_has_line(&answer, "Content-Type: application/problem+json"));
        ck_assert(!cases[i].line || stand_has_line(&answer, cases[i].line));
        ck_assert_str_eq(answer.body, body);
        stand_answer_free(&answer);
        end();
    }
}
END_TEST

/* A redirect is the client's to follow, or not. */
START_TEST(test_proxy_follows_no_redirect)
{
    begin_answering("HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/kv/a\r\n"
                    "Content-Length: 0\r\n\r\n");
    struct stand_answer answer = stand_do(&stand, "GET /kv/a", NULL, NULL);
    ck_assert_int_eq(answer.status, 307);
    ck_assert(stand_has_line(&answer, "Location: http://127.0.0.1:1/kv/a"));
    ck_assert_uint_eq(leader.requests_count, 1);
    stand_answer_free(&answer);
    end();
}
END_TEST

static void expect(const char *method_and_target, const char *body, int status, const char *part)
{
    struct stand_answer answer = stand_do(&stand, method_and_target, NULL, body);
    ck_assert_msg(answer.status == status && strstr(answer.body, part), "%s: %s", method_and_target,
                  answer.text);
    if (status == 503)
        ck_assert(stand_has_line(&answer, "Retry-After: 1"));
    stand_answer_free(&answer);
}

/* A port that nobody listens on. */
static void find_dead_url(char into[64])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, bytes), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &bytes), 0);
    snprintf(into, 64, "http://127.0.0.1:%u", ntohs(address.sin_port));
    close(fd);
}

START_TEST(test_proxy_without_a_connection_nothing_was_done)
{
    char url[64];
    find_dead_url(url);
    stand_open(&stand, FOLLOWER_PROXY);
    stand_follow(&stand, url);
    expect("PUT /kv/a", "v", 503, "nothing was done");
    expect("GET /kv/a", NULL, 503, "nothing was done");
    expect("POST /transfer", "", 503, "nothing was done");
    stand_follow(&stand, "ftp://127.0.0.1:1"); /* nor anything but http */
    expect("PUT /kv/a", "v", 503, "nothing was done");
    stand_close(&stand);
}
END_TEST

/* Invariant 8: once it may have been read, a write's outcome is not known without an answer. */
START_TEST(test_proxy_broken_after_sending_is_unknown_for_writes)
{
    static const enum leader_act acts[][1] = {{LEADER_CLOSES}, {LEADER_BREAKS}};
    for (unsigned i = 0; i < 2; i++) {
        begin(ok, 1, acts[i]);
        expect("PUT /kv/a", "v", 504, "\"outcome\":\"unknown\"");
        expect("DELETE /kv/a", NULL, 504, "\"outcome\":\"unknown\"");
        expect("POST /remove", "{\"ID\":\"n\"}", 504, "\"outcome\":\"unknown\"");
        expect("GET /kv/a", NULL, 503, "no answer from the leader");
        ck_assert_uint_eq(leader.requests_count, 4);
        end();
    }
}
END_TEST

/* libcurl would send it again: a connection that was kept, and is closed behind the request. */
START_TEST(test_proxy_sends_a_write_once_on_a_kept_connection)
{
    static const enum leader_act acts[] = {LEADER_ANSWERS, LEADER_CLOSES, LEADER_ANSWERS,
                                           LEADER_CLOSES, LEADER_ANSWERS};
    begin(ok, 5, acts);
    expect("GET /kv/a", NULL, 200, "OK\n");
    expect("DELETE /kv/a", NULL, 504, "\"outcome\":\"unknown\"");
    ck_assert_uint_eq(leader.requests_count, 2);
    ck_assert_uint_eq(leader.requests[1].connection, 1); /* else this proves nothing */
    expect("GET /kv/a", NULL, 200, "OK\n");
    expect("GET /kv/a", NULL, 200, "OK\n"); /* a read is asked again */
    ck_assert_uint_eq(leader.requests_count, 5);
    ck_assert_uint_eq(leader.requests[3].connection, leader.requests[2].connection);
    end();
}
END_TEST

START_TEST(test_proxy_of_a_silent_leader_ends_in_time)
{
    static const enum leader_act acts[] = {LEADER_HANGS};
    begin(ok, 1, acts);
    expect("GET /kv/a", NULL, 503, "it took too long");
    end();
}
END_TEST

static struct loop_timer finish_timer;

/* httpd stops once the leader has the request. */
static void finish(void *context)
{
    struct loop *loop = stand.httpd.loop;
    (void)context;
    if (__atomic_load_n(&leader.requests_count, __ATOMIC_ACQUIRE) == 0)
        loop_timer_set(loop, &finish_timer, loop_now_ms(loop) + 1, finish, NULL);
    else
        proxy_finish(stand.httpd.proxy);
}

START_TEST(test_proxy_finish_answers_who_waits)
{
    static const enum leader_act acts[] = {LEADER_HANGS};
    begin(ok, 1, acts);
    finish(NULL);
    expect("PUT /kv/a", "v", 504, "this node is stopping");
    end();
}
END_TEST

/* ---- answers that are passed on while they come ---- */

enum { LONG_BYTES = 20 << 20, CHUNK_BYTES = 1 << 20 };

/* With a Content-Length, or in chunks; the caller's to free. */
static char *make_long_answer(bool chunked)
{
    char *text = malloc(LONG_BYTES + 4096);
    int head = snprintf(text, 256,
                        chunked ? "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                                : "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n",
                        LONG_BYTES);
    char *at = text + head;
    for (unsigned i = 0; i < LONG_BYTES; i++) {
        if (chunked && i % CHUNK_BYTES == 0)
            at += sprintf(at, "%s%x\r\n", i ? "\r\n" : "", CHUNK_BYTES);
        *at++ = (char)('a' + i % 23);
    }
    strcpy(at, chunked ? "\r\n0\r\n\r\n" : "");
    return text;
}

/* Takes the chunks' lines out of the body, which must be whole. Returns its length. */
static size_t join_chunks(struct stand_answer *answer)
{
    char *at = (char *)(uintptr_t)answer->body, *into = at;
    for (;;) {
        char *end;
        unsigned long bytes = strtoul(at, &end, 16);
        ck_assert_msg(end != at && !strncmp(end, "\r\n", 2), "no chunk at %.20s", at);
        if (bytes == 0)
            return (size_t)(into - answer->body);
        ck_assert_uint_le((size_t)(end + 2 - answer->body) + bytes, answer->body_bytes);
        memmove(into, end + 2, bytes);
        into += bytes;
        at = end + 2 + bytes + 2;
    }
}

START_TEST(test_proxy_passes_on_answers_of_any_length)
{
    for (unsigned chunked = 0; chunked < 2; chunked++) {
        char *text = make_long_answer(chunked);
        begin_answering(text);
        struct stand_answer answer = stand_do(&stand, "GET /kv?prefix=", NULL, NULL);
        ck_assert_int_eq(answer.status, 200);
        if (chunked)
            answer.body_bytes = join_chunks(&answer);
        ck_assert_uint_eq(answer.body_bytes, LONG_BYTES);
        for (unsigned i = 0; i < LONG_BYTES; i++)
            if (answer.body[i] != (char)('a' + i % 23))
                ck_abort_msg("another byte at %u", i);
        stand_answer_free(&answer);
        ck_assert_uint_eq(proxy_forwards(stand.httpd.proxy), 0);
        ck_assert_uint_eq(stand.httpd.bodies_bytes, 0);
        leader.answer = ok;
        expect("GET /kv/a", NULL, 200, "OK\n");
        end();
        free(text);
    }
}
END_TEST

/* What is not whole does not look whole: a length that is not reached, no last chunk. */
static void expect_cut(void)
{
    struct stand_answer answer = stand_do(&stand, "GET /kv?prefix=", NULL, NULL);
    ck_assert_int_eq(answer.status, 200);
    ck_assert_uint_lt(answer.body_bytes, LONG_BYTES);
    ck_assert(answer.body_bytes < 5 ||
              memcmp(answer.body + answer.body_bytes - 5, "0\r\n\r\n", 5) != 0);
    stand_answer_free(&answer);
    ck_assert_uint_eq(proxy_forwards(stand.httpd.proxy), 0);
}

/* Shorter than what a socket may hold, so that all of it comes, and longer than what is held. */
static const char *make_cut_answer(bool chunked)
{
    static char text[(200u << 10) + 256];
    size_t bytes = 200u << 10;
    int head = snprintf(text, sizeof(text),
                        chunked ? "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%zx\r\n"
                                : "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n",
                        bytes);
    memset(text + head, 'x', bytes);
    return text;
}

START_TEST(test_proxy_cuts_what_the_leader_breaks_off)
{
    static const enum leader_act acts[] = {LEADER_BREAKS};
    for (unsigned chunked = 0; chunked < 2; chunked++) {
        begin(make_cut_answer(chunked), 1, acts);
        expect_cut();
        end();
    }
}
END_TEST

START_TEST(test_proxy_cuts_a_leader_that_stalls)
{
    static const enum leader_act acts[] = {LEADER_STALLS};
    begin(make_cut_answer(true), 1, acts);
    expect_cut();
    end();
}
END_TEST

static void finish_once_passed_on(void *context)
{
    struct loop *loop = stand.httpd.loop;
    (void)context;
    if (stand.httpd.bodies_bytes == 0)
        loop_timer_set(loop, &finish_timer, loop_now_ms(loop) + 1, finish_once_passed_on, NULL);
    else
        proxy_finish(stand.httpd.proxy);
}

START_TEST(test_proxy_finish_cuts_what_is_passed_on)
{
    static const enum leader_act acts[] = {LEADER_STALLS};
    begin(make_cut_answer(true), 1, acts);
    finish_once_passed_on(NULL);
    expect_cut();
    end();
}
END_TEST

/* A client that takes nothing keeps the leader from sending, and costs what may be held. Once it is
 * gone, so is its forward. */
START_TEST(test_proxy_reads_no_further_than_its_client)
{
    char *text = make_long_answer(true);
    begin_answering(text);
    int fd = stand_send(&stand, "GET /kv?prefix= HTTP/1.1\r\nHost: a\r\n\r\n");
    stand_turn(&stand, 500);
    ck_assert_uint_eq(proxy_forwards(stand.httpd.proxy), 1);
    ck_assert_uint_eq(stand.httpd.bodies_bytes, HTTPD_FORWARD_HELD_BYTES);
    close(fd);
    uint64_t until_ms = clock_monotonic_ms() + 10000;
    while (proxy_forwards(stand.httpd.proxy) && clock_monotonic_ms() < until_ms)
        stand_turn(&stand, 1);
    ck_assert_uint_eq(proxy_forwards(stand.httpd.proxy), 0);
    ck_assert_uint_eq(stand.httpd.bodies_bytes, 0);
    end();
    free(text);
}
END_TEST

START_TEST(test_proxy_passes_the_largest_value)
{
    static char text[LIMIT_VALUE_BYTES_CAP + 1024], value[LIMIT_VALUE_BYTES_DEFAULT + 1];
    int head = snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nContent-Length: %u\r\n\r\n",
                        LIMIT_VALUE_BYTES_CAP);
    memset(text + head, 'x', LIMIT_VALUE_BYTES_CAP);
    begin_answering(text);
    struct stand_answer answer = stand_do(&stand, "GET /kv/a", NULL, NULL);
    ck_assert_int_eq(answer.status, 200);
    ck_assert_uint_eq(answer.body_bytes, LIMIT_VALUE_BYTES_CAP);
    stand_answer_free(&answer);
    memset(value, 'y', LIMIT_VALUE_BYTES_DEFAULT - 1024);
    leader.answer = ok;
    expect("PUT /kv/a", value, 200, "OK\n");
    ck_assert_uint_eq(leader.requests[1].length - leader.requests[1].head_bytes, strlen(value));
    ck_assert_uint_eq(stand.httpd.bodies_bytes, 0);
    end();
}
END_TEST

/* ---- bodies that are passed on while they come ---- */

enum { BODY_BYTES = 900000 };

static const char *make_body(void)
{
    static char body[BODY_BYTES + 1];
    for (unsigned i = 0; i < BODY_BYTES; i++)
        body[i] = (char)('a' + i % 23);
    return body;
}

/* So that the leader is known. */
static void begin_known(const char *answer, unsigned acts_count, const enum leader_act *acts)
{
    begin(answer, acts_count, acts);
    expect("PUT /kv/a", "v", 200, "OK\n");
}

START_TEST(test_proxy_passes_on_a_large_body)
{
    static const enum leader_act acts[] = {LEADER_ANSWERS};
    begin_known(ok, 1, acts);
    unsigned calls = stand.calls;
    for (unsigned i = 1; i < 4; i++) {
        expect(i == 2 ? "POST /txn" : "PUT /kv/large", make_body(), 200, "OK\n");
        ck_assert_uint_eq(stand.calls, calls); /* raftd was not asked */
        const struct leader_request *request = &leader.requests[i];
        ck_assert_ptr_nonnull(strstr(request->text, "\r\nX-Conure-Forwarded-By: "));
        ck_assert(
            !strncmp(request->text, i == 2 ? "POST /txn " : "PUT /kv/large ", i == 2 ? 10 : 14));
        ck_assert_uint_eq(request->length - request->head_bytes, BODY_BYTES);
        ck_assert(!memcmp(request->text + request->head_bytes, make_body(), BODY_BYTES));
    }
    ck_assert_uint_eq(stand.httpd.bodies_bytes, 0);
    expect("PUT /kv/a", "v", 200, "OK\n"); /* a small one asks raftd */
    ck_assert_uint_eq(stand.calls, calls + 1);
    end();
}
END_TEST

/* Its answer is passed back when the client is through; the body's rest goes nowhere. */
START_TEST(test_proxy_passes_back_an_answer_before_the_end_of_a_body)
{
    static const enum leader_act acts[] = {LEADER_ANSWERS};
    begin_known(ok, 1, acts);
    leader.answer =
        "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbig\n";
    leader.reads_heads_only = true;
    expect("PUT /kv/large", make_body(), 413, "big\n");
    ck_assert_uint_eq(stand.httpd.bodies_bytes, 0);
    end();
}
END_TEST

/* What never had the whole body cannot have been done. */
START_TEST(test_proxy_broken_in_the_middle_of_a_body_nothing_was_done)
{
    static const enum leader_act acts[] = {LEADER_ANSWERS, LEADER_CLOSES};
    begin_known(ok, 2, acts);
    leader.reads_heads_only = true;
    char *body = calloc(1, (8u << 20) + 1); /* more than sockets hold */
    memset(body, 'x', 8u << 20);
    stand.config.value_bytes_max = LIMIT_VALUE_BYTES_CAP;
    expect("PUT /kv/large", body, 503, "nothing was done");
    ck_assert_uint_eq(proxy_forwards(stand.httpd.proxy), 0);
    unsigned calls = stand.calls;
    leader.reads_heads_only = false; /* it was forgotten: raftd is asked again */
    expect("PUT /kv/a", "v", 504, "unknown");
    ck_assert_uint_eq(stand.calls, calls + 1);
    end();
    free(body);
}
END_TEST

START_TEST(test_proxy_takes_no_more_of_a_body_than_the_leader_does)
{
    static const enum leader_act acts[] = {LEADER_ANSWERS, LEADER_HANGS};
    begin_known(ok, 2, acts);
    leader.reads_heads_only = true;
    char *body = calloc(1, (8u << 20) + 1);
    memset(body, 'x', 8u << 20);
    stand.config.value_bytes_max = LIMIT_VALUE_BYTES_CAP;
    uint64_t begin_ms = clock_monotonic_ms();
    expect("PUT /kv/large", body, 503, "it took too long; nothing was done");
    ck_assert_uint_ge(clock_monotonic_ms() - begin_ms, HTTPD_FORWARD_SILENCE_MS_MAX - 1000);
    end();
    free(body);
}
END_TEST

/* Also while its last bytes wait, it is not taken for gone. */
START_TEST(test_proxy_passes_on_a_body_of_a_client_that_has_shut_its_side)
{
    static const enum leader_act acts[] = {LEADER_ANSWERS};
    for (unsigned bytes = 70000; bytes < 190000; bytes += 7919) {
        begin_known(ok, 1, acts);
        char head[128], answer[4096] = "";
        size_t length = 0;
        snprintf(head, sizeof(head),
                 "PUT /kv/large HTTP/1.1\r\nHost: a\r\nContent-Length: %u\r\n\r\n", bytes);
        int fd = stand_begin(&stand, head);
        ck_assert_int_eq(send(fd, make_body(), bytes, MSG_NOSIGNAL), bytes);
        ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
        uint64_t until_ms = clock_monotonic_ms() + 10000;
        while (!strstr(answer, "OK\n") && clock_monotonic_ms() < until_ms) {
            stand_turn(&stand, 1);
            ssize_t got = recv(fd, answer + length, sizeof(answer) - 1 - length, MSG_DONTWAIT);
            ck_assert_msg(got != 0, "%u bytes: \"%s\"", bytes, answer);
            length += got > 0 ? (size_t)got : 0;
            answer[length] = '\0';
        }
        ck_assert_msg(!strncmp(answer, "HTTP/1.1 200 ", 13), "%u bytes: \"%s\"", bytes, answer);
        close(fd);
        end();
    }
}
END_TEST

/* The client goes away in the middle: so does what was on its way. */
START_TEST(test_proxy_gives_up_a_body_whose_client_is_gone)
{
    static const enum leader_act acts[] = {LEADER_ANSWERS};
    begin_known(ok, 1, acts);
    int fd = stand_begin(
        &stand, "PUT /kv/large HTTP/1.1\r\nHost: a\r\nContent-Length: 900000\r\n\r\nbegin");
    uint64_t until_ms = clock_monotonic_ms() + 10000;
    while (!proxy_forwards(stand.httpd.proxy) && clock_monotonic_ms() < until_ms)
        stand_turn(&stand, 1);
    ck_assert_uint_eq(proxy_forwards(stand.httpd.proxy), 1);
    ck_assert_uint_eq(stand.httpd.bodies_bytes, HTTPD_UPLOAD_HELD_BYTES);
    stand_turn(&stand, 100);
    close(fd);
    while (proxy_forwards(stand.httpd.proxy) && clock_monotonic_ms() < until_ms)
        stand_turn(&stand, 1);
    ck_assert_uint_eq(proxy_forwards(stand.httpd.proxy), 0);
    ck_assert_uint_eq(stand.httpd.bodies_bytes, 0);
    expect("PUT /kv/a", "v", 200, "OK\n");
    end();
}
END_TEST

UNIT_MAIN_WITHIN(60, "proxy", test_proxy_passes_on_a_large_body,
                 test_proxy_passes_back_an_answer_before_the_end_of_a_body,
                 test_proxy_broken_in_the_middle_of_a_body_nothing_was_done,
                 test_proxy_takes_no_more_of_a_body_than_the_leader_does,
                 test_proxy_passes_on_a_body_of_a_client_that_has_shut_its_side,
                 test_proxy_gives_up_a_body_whose_client_is_gone,
                 test_proxy_passes_a_write_and_its_answer, test_proxy_passes_targets_byte_for_byte,
                 test_proxy_passes_each_method, test_proxy_head_has_the_length_of_the_body,
                 test_proxy_passes_problems_as_they_are, test_proxy_follows_no_redirect,
                 test_proxy_without_a_connection_nothing_was_done,
                 test_proxy_broken_after_sending_is_unknown_for_writes,
                 test_proxy_sends_a_write_once_on_a_kept_connection,
                 test_proxy_of_a_silent_leader_ends_in_time, test_proxy_finish_answers_who_waits,
                 test_proxy_passes_on_answers_of_any_length,
                 test_proxy_cuts_what_the_leader_breaks_off, test_proxy_cuts_a_leader_that_stalls,
                 test_proxy_finish_cuts_what_is_passed_on,
                 test_proxy_reads_no_further_than_its_client, test_proxy_passes_the_largest_value)
