/* What curl will not send, on raw sockets: malformed, ambiguous and boundary requests (RFC 9110,
 * RFC 9112), each with another request behind it. Of a doubtful one there is one answer at most, a
 * 4xx, the connection ends, and nothing of it or behind it is carried out. A sound one is answered
 * as it says, and so is what is behind it. */
#include "../unit/unit.h"

#include "lib/client.h"
#include "lib/node.h"
#include "lib/raw.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWERS_MAX 4u
#define PROBES_MIN 200u
#define REQUEST_BYTES_MAX 131072u

/* It has come through if this key is there. */
#define INNER "PUT /kv/inner HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx"

static struct node node;
static struct client *client;
static unsigned probes;

struct answers {
    unsigned count;
    int statuses[ANSWERS_MAX];
    bool closed; /* by the server, in time */
};

/* ---- on the wire ---- */

static struct answers parse(const char *got)
{
    struct answers answers = {.closed = true};
    for (const char *at = got; (at = strstr(at, "HTTP/1.1 ")) && answers.count < ANSWERS_MAX; at++)
        answers.statuses[answers.count++] = atoi(at + 9);
    return answers;
}

/* Sends all of it, and reads until the server closes. */
static struct answers exchange(const char *bytes, size_t length)
{
    static char got[262144];
    size_t total = 0;
    int fd = raw_connect(&node, 0);
    for (size_t sent = 0; sent < length;) {
        ssize_t part = send(fd, bytes + sent, length - sent, MSG_NOSIGNAL);
        if (part <= 0) /* it has closed, with its answer on the way */
            break;
        sent += (size_t)part;
    }
    ssize_t part;
    while ((part = recv(fd, got + total, sizeof(got) - 1 - total, 0)) > 0)
        total += (size_t)part;
    bool timed_out = part < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
    close(fd);
    got[total] = '\0';
    struct answers answers = parse(got);
    answers.closed = !timed_out;
    return answers;
}

/* ---- what is expected ---- */

static const char *shown(const char *bytes, size_t length)
{
    static char text[512];
    size_t at = 0;
    for (size_t i = 0; i < length && at + 8 < sizeof(text) && i < 160; i++) {
        unsigned char byte = (unsigned char)bytes[i];
        if (byte >= ' ' && byte < 0x7f)
            text[at++] = (char)byte;
        else
            at += (size_t)snprintf(text + at, 8, "\\x%02x", byte);
    }
    text[at] = '\0';
    return text;
}

static bool is_there(const char *key)
{
    char target[64];
    snprintf(target, sizeof(target), "/kv/%s", key);
    struct answer answer = client_do(client, "GET", target, NULL, 0, NULL);
    ck_assert_msg(answer.status == 200 || answer.status == 404, "GET %s: %d", key, answer.status);
    return answer.status == 200;
}

/* `status`: 0 for any 4xx or 5xx, or no answer. */
static void check_doubtful(const char *bytes, size_t length, int status)
{
    struct answers answers = exchange(bytes, length);
    const char *text = shown(bytes, length);
    probes++;
    ck_assert_msg(answers.closed, "left open after: %s", text);
    ck_assert_msg(answers.count <= 1, "%u answers to: %s", answers.count, text);
    if (answers.count == 1)
        ck_assert_msg(status ? answers.statuses[0] == status : answers.statuses[0] >= 400,
                      "%d, not %d, to: %s", answers.statuses[0], status, text);
    ck_assert_msg(!is_there("inner"), "what was behind it was carried out: %s", text);
    ck_assert_msg(!is_there("outer"), "it was carried out: %s", text);
}

static void drop(const char *key)
{
    char target[64];
    snprintf(target, sizeof(target), "/kv/%s", key);
    ck_assert_int_eq(client_do(client, "DELETE", target, NULL, 0, NULL).status, 200);
}

/* It is answered with `status`, and the one behind it with 200. */
static void check_sound(const char *bytes, size_t length, int status)
{
    struct answers answers = exchange(bytes, length);
    const char *text = shown(bytes, length);
    probes++;
    ck_assert_msg(answers.closed && answers.count == 2, "%u answers to: %s", answers.count, text);
    ck_assert_msg(answers.statuses[0] == status, "%d, not %d, to: %s", answers.statuses[0], status,
                  text);
    ck_assert_msg(answers.statuses[1] == 200 && is_there("inner"), "what was behind it: %s", text);
    drop("inner");
    drop("outer");
}

/* ---- building ---- */

struct text {
    const char *bytes;
    size_t length;
};
#define T(literal)                                                                                 \
    {                                                                                              \
        literal, sizeof(literal) - 1                                                               \
    }
#define COUNT(list) (sizeof(list) / sizeof(*(list)))

static char request[REQUEST_BYTES_MAX];
static size_t request_bytes;

static void add(const char *bytes, size_t length)
{
    ck_assert_uint_le(request_bytes + length, sizeof(request));
    memcpy(request + request_bytes, bytes, length);
    request_bytes += length;
}

static void add_text(const char *text)
{
    add(text, strlen(text));
}

static void begin(const char *line)
{
    request_bytes = 0;
    add_text(line);
}

static void doubtful(int status)
{
    add_text(INNER);
    check_doubtful(request, request_bytes, status);
}

static void sound(int status)
{
    add_text(INNER);
    check_sound(request, request_bytes, status);
}

static void corpus_begin(void)
{
    probes = 0;
    node_new(&node, NULL);
    node_start(&node);
    client = client_new(node.url, 10000);
}

static void corpus_end(void)
{
    fprintf(stderr, "%u requests\n", probes);
    client_free(client);
    node_free(&node);
}

/* ---- where a body ends ---- */

static const char *const body_lines[] = {
    "PUT /kv/outer HTTP/1.1\r\nHost: h\r\n",
    "DELETE /kv/outer HTTP/1.1\r\nHost: h\r\n",
    "GET /kv/outer HTTP/1.1\r\nHost: h\r\n",
    "POST /txn HTTP/1.1\r\nHost: h\r\n",
};

static const struct text bad_lengths[] = {
    T("+1"),
    T("-1"),
    T("1 1"),
    T("0x1"),
    T("1,1"),
    T("1, 2"),
    T("1e3"),
    T("1.0"),
    T("1_0"),
    T("1;"),
    T("nan"),
    T("++1"),
    T("1-"),
    T("\"1\""),
    T("1\0"),
    T("\0001"),
    T("\xd9\xa3"),
    T("1\x0b"),
    T("\x0c"
      "1"),
    T("1\r"),
    T("18446744073709551616"),
    T("99999999999999999999999999999999"),
    T(""),
    T(" "),
    T("1\r\n 2"),
    T("1\r\nContent-Length: 2"),
    T("1\r\nContent-Length: 1"),
    T("1\r\ncontent-length: 1"),
};

static const struct text bad_encodings[] = {
    T("identity"),
    T("gzip"),
    T("gzip, chunked"),
    T("chunked, chunked"),
    T("chunked, gzip"),
    T("chunked;q=1"),
    T("xchunked"),
    T("chunked x"),
    T("chunked\0"),
    T("\x0b"
      "chunked"),
    T("chunked\x0c"),
    T("chunked,"),
    T(",chunked"),
    T("\"chunked\""),
    T(""),
    T("chunked\r\nTransfer-Encoding: chunked"),
    T("chunked\r\nTransfer-Encoding: identity"),
    T("\r\n chunked"),
    T("chunked\r\nContent-Length: 5"),
};

static void field_probe(const char *line, const char *name, const struct text *value,
                        const char *body)
{
    begin(line);
    add_text(name);
    add(value->bytes, value->length);
    add_text("\r\n\r\n");
    add_text(body);
    doubtful(0);
}

START_TEST(test_corpus_where_a_body_ends)
{
    corpus_begin();
    for (unsigned i = 0; i < COUNT(body_lines); i++)
        for (unsigned j = 0; j < COUNT(bad_lengths); j++)
            field_probe(body_lines[i], "Content-Length: ", &bad_lengths[j], "");
    for (unsigned i = 0; i < COUNT(body_lines); i++)
        for (unsigned j = 0; j < COUNT(bad_encodings); j++)
            field_probe(body_lines[i], "Transfer-Encoding: ", &bad_encodings[j], "0\r\n\r\n");
    static const char *const both[] = {
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding : chunked\r\nContent-Length: 0\r\n\r\n", "Content-Length : 1\r\n\r\nx",
        " Content-Length: 1\r\n\r\nx"};
    for (unsigned i = 0; i < COUNT(both); i++) {
        begin(body_lines[0]);
        add_text(both[i]);
        doubtful(0);
    }
    ck_assert_uint_ge(probes, PROBES_MIN - 20);
    corpus_end();
}
END_TEST

/* ---- chunks ---- */

static const struct text bad_chunks[] = {
    T("-1\r\nx\r\n0\r\n\r\n"),
    T("0x1\r\nx\r\n0\r\n\r\n"),
    T("g\r\nx\r\n0\r\n\r\n"),
    T("\r\nx\r\n0\r\n\r\n"),
    T("10000000000000000\r\nx\r\n0\r\n\r\n"),
    T("ffffffffffffffffff\r\nx\r\n0\r\n\r\n"),
    T("1\r\nxx\r\n0\r\n\r\n"),
    T("1\r\nx0\r\n\r\n"),
    T("+1\r\nx\r\n0\r\n\r\n"),
    T("1 1\r\nx\r\n0\r\n\r\n"),
    T("1\0\r\nx\r\n0\r\n\r\n"),
};

static const struct text good_chunks[] = {
    T("0\r\n\r\n"),
    T("1\r\nx\r\n0\r\n\r\n"),
    T("01\r\nx\r\n00\r\n\r\n"),
    T("A\r\n0123456789\r\n0\r\n\r\n"),
    T("1;a=b\r\nx\r\n0\r\n\r\n"),
    T("1\r\nx\r\n0\r\nTrailer: y\r\n\r\n"),
};

START_TEST(test_corpus_chunks)
{
    corpus_begin();
    for (unsigned i = 0; i < COUNT(bad_chunks); i++) {
        begin("PUT /kv/outer HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
        add(bad_chunks[i].bytes, bad_chunks[i].length);
        doubtful(0);
    }
    for (unsigned i = 0; i < COUNT(good_chunks); i++) {
        begin("PUT /kv/outer HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
        add(good_chunks[i].bytes, good_chunks[i].length);
        sound(200);
    }
    corpus_end();
}
END_TEST

/* ---- fields ---- */

static const struct text bad_heads[] = {
    /* Host */
    T("PUT /kv/outer HTTP/1.1\r\nContent-Length: 0\r\n\r\n"),
    T("PUT /kv/outer HTTP/1.1\r\nHost: a\r\nHost: a\r\nContent-Length: 0\r\n\r\n"),
    T("PUT /kv/outer HTTP/1.1\r\nHost: a\r\nhost: b\r\nContent-Length: 0\r\n\r\n"),
    T("PUT /kv/outer HTTP/1.1\r\nHost: a b\r\nContent-Length: 0\r\n\r\n"),
    T("PUT /kv/outer HTTP/1.1\r\nHost: a, b\r\nContent-Length: 0\r\n\r\n"),
    T("PUT /kv/outer HTTP/1.1\r\nHost: a/b\r\nContent-Length: 0\r\n\r\n"),
    T("PUT /kv/outer HTTP/1.1\r\nHost: u@a\r\nContent-Length: 0\r\n\r\n"),
    /* values */
    T("PUT /kv/outer HTTP/1.1\r\nHost: h\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n"),
    T("PUT /kv/outer HTTP/1.1\r\nHost: h\r\nX: a\rb\r\nContent-Length: 0\r\n\r\n"),
    T("PUT /kv/outer HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n"),
    T("PUT /kv/outer HTTP/1.1\r\nHost: h\r\nX: a\r\n\tContent-Length: 9\r\nContent-Length: "
      "0\r\n\r\n"),
    T("PUT /kv/outer HTTP/1.1\r\nHost: h\r\nX: \x01\r\nContent-Length: 0\r\n\r\n"),
    T("PUT /kv/outer HTTP/1.1\r\nHost: h\r\nX: \x7f\r\nContent-Length: 0\r\n\r\n"),
    /* names */
    T("PUT /kv/outer HTTP/1.1\r\nHost: h\r\n: a\r\nContent-Length: 0\r\n\r\n"),
    T("PUT /kv/outer HTTP/1.1\r\nHost: h\r\nX\r\nContent-Length: 0\r\n\r\n"),
    T("PUT /kv/outer HTTP/1.1\r\nHost: h\r\nX\0Y: a\r\nContent-Length: 0\r\n\r\n"),
    T("PUT /kv/outer HTTP/1.1\r\n Host: h\r\nContent-Length: 0\r\n\r\n"),
    T("PUT /kv/outer HTTP/1.1\r\n\tX: y\r\nHost: h\r\nContent-Length: 0\r\n\r\n"),
    /* ends of lines */
    T("PUT /kv/outer HTTP/1.1\nHost: h\nContent-Length: 0\n\n"),
    T("PUT /kv/outer HTTP/1.1\r\nHost: h\nContent-Length: 0\r\n\r\n"),
    T("PUT /kv/outer HTTP/1.1\r\nHost: h\r\nContent-Length: 0\n\r\n"),
    T("PUT /kv/outer HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\n"),
    /* the first line */
    T("PUT /kv/outer\r\nHost: h\r\nContent-Length: 0\r\n\r\n"),
    T("PUT  /kv/outer HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"),
    T("PUT /kv/outer  HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"),
    T("PUT\t/kv/outer\tHTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"),
    T(" PUT /kv/outer HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"),
    T("PUT /kv/outer HTTP/1.1 \r\nHost: h\r\nContent-Length: 0\r\n\r\n"),
    T("PUT /kv/outer http/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"),
    T("PUT /kv/outer HTTP/2.0\r\nHost: h\r\nContent-Length: 0\r\n\r\n"),
    T("PUT /kv/outer HTTP/1.10\r\nHost: h\r\nContent-Length: 0\r\n\r\n"),
    T("PUT /kv/outer HTTP/11\r\nHost: h\r\nContent-Length: 0\r\n\r\n"),
    T("PUT /kv/outer HTTP/\r\nHost: h\r\nContent-Length: 0\r\n\r\n"),
    T("PUT /kv/out er HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"),
    T("PUT /kv/out\0er HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"),
    T("PUT /kv/outer\x7f HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"),
    T("PUT kv/outer HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"),
    T("PU(T /kv/outer HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"),
    T("CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n"),
    T("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
    T("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
};

/* RFC 9110, 5.6.2: what no token has. */
static const char no_token[] = "\"(),/;<=>?@[\\]{}\x01\x0b\x7f\x80\xff";

START_TEST(test_corpus_heads)
{
    corpus_begin();
    for (unsigned i = 0; i < COUNT(bad_heads); i++) {
        begin("");
        add(bad_heads[i].bytes, bad_heads[i].length);
        doubtful(0);
    }
    for (unsigned i = 0; i < sizeof(no_token) - 1; i++) {
        begin("PUT /kv/outer HTTP/1.1\r\nHost: h\r\nX");
        add(&no_token[i], 1);
        add_text("Y: a\r\nContent-Length: 0\r\n\r\n");
        doubtful(400);
    }
    corpus_end();
}
END_TEST

/* ---- limits ---- */

static void add_many(char byte, size_t count)
{
    for (size_t i = 0; i < count; i++)
        add(&byte, 1);
}

START_TEST(test_corpus_limits)
{
    corpus_begin();
    begin("PUT /kv/outer?");
    add_many('a', 70000);
    add_text(" HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
    doubtful(0);
    begin("PUT /kv/outer HTTP/1.1\r\nHost: h\r\nX: ");
    add_many('a', 70000);
    add_text("\r\nContent-Length: 0\r\n\r\n");
    doubtful(431);
    begin("PUT /kv/outer HTTP/1.1\r\nHost: h\r\n");
    for (unsigned i = 0; i < 1000; i++)
        add_text("X: a\r\n");
    add_text("Content-Length: 0\r\n\r\n");
    doubtful(431);
    begin("PUT /kv/outer HTTP/1.1\r\nHost: h\r\nContent-Length: 999999999\r\n\r\n");
    doubtful(413);
    begin("PUT /kv/outer HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: "
          "999999999\r\n\r\n");
    doubtful(413);
    corpus_end();
}
END_TEST

/* ---- sound ones ---- */

static const struct {
    struct text bytes;
    int status;
} good[] = {
    {T("PUT /kv/outer HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx"), 200},
    {T("PUT /kv/outer HTTP/1.1\r\nHost: h\r\nContent-Length: 0001\r\n\r\nx"), 200},
    {T("PUT /kv/outer HTTP/1.1\r\nHost:h\r\ncontent-length:\t 1\r\n\r\nx"), 200},
    {T("PUT /kv/outer HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: "
       "CHUNKED\r\n\r\n1\r\nx\r\n0\r\n\r\n"),
     200},
    {T("\r\nPUT /kv/outer HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx"), 200},
    {T("PUT /kv/outer HTTP/1.2\r\nHost: h\r\nContent-Length: 1\r\n\r\nx"), 200},
    {T("GET /livez HTTP/1.1\r\nHost:\r\n\r\n"), 200},
    {T("GET /livez HTTP/1.1\r\nHost: [::1]:80\r\nX-Note: caf\xc3\xa9\r\n\r\n"), 200},
    {T("HEAD /livez HTTP/1.1\r\nHost: h\r\n\r\n"), 200},
    {T("GET /kv/none HTTP/1.1\r\nHost: h\r\n\r\n"), 404},
    {T("GET /kv?key=%zz HTTP/1.1\r\nHost: h\r\n\r\n"), 400},
    {T("GET /kv?key=%2 HTTP/1.1\r\nHost: h\r\n\r\n"), 400},
    {T("GET /kv?key= HTTP/1.1\r\nHost: h\r\n\r\n"), 400},
    {T("GET /kv?key=a%00b HTTP/1.1\r\nHost: h\r\n\r\n"), 404},
    {T("GET /kv/a%2Fb%00c HTTP/1.1\r\nHost: h\r\n\r\n"), 404},
    {T("GET /kv?key=a&key=b HTTP/1.1\r\nHost: h\r\n\r\n"), 400},
    {T("GET /kv?kex=a HTTP/1.1\r\nHost: h\r\n\r\n"), 400},
    {T("GET /watch?from=0 HTTP/1.1\r\nHost: h\r\n\r\n"), 400},
    {T("GET /watch?from= HTTP/1.1\r\nHost: h\r\n\r\n"), 400},
    {T("GET /watch?from=1x HTTP/1.1\r\nHost: h\r\n\r\n"), 400},
    {T("GET /watch?from=18446744073709551616 HTTP/1.1\r\nHost: h\r\n\r\n"), 400},
    {T("GET /watch?key= HTTP/1.1\r\nHost: h\r\n\r\n"), 400},
    {T("GET /watch?key=a&prefix=b HTTP/1.1\r\nHost: h\r\n\r\n"), 400},
    {T("GET /watch?to=1 HTTP/1.1\r\nHost: h\r\n\r\n"), 400},
    {T("GET /watch HTTP/1.1\r\nHost: h\r\nLast-Event-ID: \r\n\r\n"), 400},
    {T("GET /watch HTTP/1.1\r\nHost: h\r\nLast-Event-ID: x\r\n\r\n"), 400},
    {T("GET /watch HTTP/1.1\r\nHost: h\r\nLast-Event-ID: .\r\n\r\n"), 400},
    {T("GET /watch HTTP/1.1\r\nHost: h\r\nLast-Event-ID: 5.\r\n\r\n"), 400},
    {T("GET /watch HTTP/1.1\r\nHost: h\r\nLast-Event-ID: .5\r\n\r\n"), 400},
    {T("GET /watch HTTP/1.1\r\nHost: h\r\nLast-Event-ID: 5.0\r\n\r\n"), 400},
    {T("GET /watch HTTP/1.1\r\nHost: h\r\nLast-Event-ID: 0.1\r\n\r\n"), 400},
    {T("GET /watch HTTP/1.1\r\nHost: h\r\nLast-Event-ID: 5.x\r\n\r\n"), 400},
    {T("GET /watch HTTP/1.1\r\nHost: h\r\nLast-Event-ID: 5.1.2\r\n\r\n"), 400},
    {T("GET /watch HTTP/1.1\r\nHost: h\r\nLast-Event-ID: 5 6\r\n\r\n"), 400},
    {T("GET /watch HTTP/1.1\r\nHost: h\r\nLast-Event-ID: 5.4294967296\r\n\r\n"), 400},
    {T("GET /watch HTTP/1.1\r\nHost: h\r\nLast-Event-ID: 18446744073709551615\r\n\r\n"), 400},
    {T("GET /watch HTTP/1.1\r\nHost: h\r\nLast-Event-ID: -1\r\n\r\n"), 400},
    {T("GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n"), 404},
    {T("get /livez HTTP/1.1\r\nHost: h\r\n\r\n"), 405},
    {T("POST /kv/outer HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"), 405},
    {T("BREW /livez HTTP/1.1\r\nHost: h\r\n\r\n"), 405},
};

START_TEST(test_corpus_sound_ones_are_answered_and_so_is_what_is_behind)
{
    corpus_begin();
    for (unsigned i = 0; i < COUNT(good); i++) {
        begin("");
        add(good[i].bytes.bytes, good[i].bytes.length);
        sound(good[i].status);
    }
    corpus_end();
}
END_TEST

/* A client that says all it has to say and shuts its side is still owed an answer. */
START_TEST(test_corpus_half_closed_are_answered)
{
    static const char *const requests[] = {
        "GET /livez",
        "GET /status",
        "GET /readyz?verbose",
        "GET /metrics",
        "GET /kv?key=sound&stale=true",
        "GET /kv?prefix=",
        "GET /kv?prefix=&stale=true&count_only=true",
        "GET /watch?from=1",
        "PUT /kv?key=half&value=v",
        "GET /kv?key=half",
        "DELETE /kv?key=half",
        "POST /txn",
        "POST /remove",
    };
    int fds[COUNT(requests)];
    char text[256], answer[16];
    corpus_begin();
    pid_t raftd = node_daemon_pid(&node, "raftd"), storaged = node_daemon_pid(&node, "storaged");
    ck_assert(!kill(raftd, SIGSTOP) && !kill(storaged, SIGSTOP)); /* they all wait */
    for (unsigned i = 0; i < COUNT(requests); i++) {
        const char *rest =
            strncmp(requests[i], "POST", 4) ? "" : "Content-Length: 10\r\n\r\n{\"ID\":\"x\"}";
        snprintf(text, sizeof(text), "%s HTTP/1.1\r\nHost: h\r\n%s%s", requests[i], rest,
                 rest[0] ? "" : "\r\n");
        fds[i] = raw_connect(&node, 0);
        raw_send(fds[i], text);
        ck_assert_int_eq(shutdown(fds[i], SHUT_WR), 0);
    }
    ck_assert_int_eq(client_do(client, "GET", "/livez", NULL, 0, NULL).status,
                     200); /* all are read */
    ck_assert(!kill(raftd, SIGCONT) && !kill(storaged, SIGCONT));
    for (unsigned i = 0; i < COUNT(requests); i++) {
        ssize_t got = recv(fds[i], answer, 9, MSG_WAITALL);
        ck_assert_msg(got == 9 && !memcmp(answer, "HTTP/1.1 ", 9), "no answer to %s", requests[i]);
        close(fds[i]);
    }
    corpus_end();
}
END_TEST

UNIT_MAIN_WITHIN(120, "corpus", test_corpus_half_closed_are_answered, test_corpus_where_a_body_ends,
                 test_corpus_chunks, test_corpus_heads, test_corpus_limits,
                 test_corpus_sound_ones_are_answered_and_so_is_what_is_behind)
