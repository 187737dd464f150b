/* Requests whose end is in doubt, on a raw socket: one answer, the connection closed, and nothing
 * behind is carried out (RFC 9112, sections 6.3 and 11.2). */
#include "../unit/unit.h"

#include "lib/client.h"
#include "lib/node.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define INNER "PUT /kv/smuggled HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx"
#define OUTER(fields) "PUT /kv/outer HTTP/1.1\r\nHost: h\r\n" fields "\r\n\r\n"

static const struct {
    const char *name, *bytes;
    size_t length;
} doubtful[] = {
#define CASE(name, text)                                                                           \
    {                                                                                              \
        name, text, sizeof(text) - 1                                                               \
    }
    CASE("folded Content-Length", OUTER("Content-Length: 4\r\n 9") "abcd" INNER),
    CASE("NUL in Content-Length", OUTER("Content-Length: 0\0009") INNER),
    CASE("Content-Length twice", OUTER("Content-Length: 0\r\nContent-Length: 60") INNER),
    CASE("both lengths",
         OUTER("Content-Length: 60\r\nTransfer-Encoding: chunked") "0\r\n\r\n" INNER),
    CASE("signed Content-Length", OUTER("Content-Length: +0") INNER),
    CASE("space before the colon", OUTER("Transfer-Encoding : chunked\r\nContent-Length: 0") INNER),
    CASE("bare LF", "PUT /kv/outer HTTP/1.1\nHost: h\nContent-Length: 0\n\n" INNER),
};

/* Sends all and reads until the server closes; returns how many answers came. */
static unsigned answers_to(const struct node *node, const char *bytes, size_t length,
                           char *ret_first, size_t first_bytes)
{
    static char got[65536];
    size_t total = 0;
    unsigned answers = 0;
    struct timeval patience = {.tv_sec = 10};
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(node->http_port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    ck_assert_int_eq(send(fd, bytes, length, MSG_NOSIGNAL), (ssize_t)length);
    for (ssize_t part; (part = recv(fd, got + total, sizeof(got) - 1 - total, 0)) > 0;)
        total += (size_t)part;
    close(fd);
    got[total] = '\0';
    for (const char *at = got; (at = strstr(at, "HTTP/1.1 ")); at++)
        answers++;
    snprintf(ret_first, first_bytes, "%.12s", got);
    return answers;
}

START_TEST(test_smuggling_doubtful_end_gets_one_answer_and_a_close)
{
    struct node node;
    char first[16];
    node_new(&node, NULL);
    node_start(&node);
    struct client *client = client_new(node.url, 10000);
    for (unsigned i = 0; i < sizeof(doubtful) / sizeof(*doubtful); i++) {
        unsigned answers =
            answers_to(&node, doubtful[i].bytes, doubtful[i].length, first, sizeof(first));
        ck_assert_msg(answers <= 1, "%s: %u answers", doubtful[i].name, answers);
        ck_assert_msg(answers == 0 || !strcmp(first, "HTTP/1.1 400"), "%s: %s", doubtful[i].name,
                      first);
        ck_assert_msg(client_do(client, "GET", "/kv/smuggled", NULL, 0, NULL).status == 404,
                      "%s: the inner request was carried out", doubtful[i].name);
        ck_assert_msg(client_do(client, "GET", "/kv/outer", NULL, 0, NULL).status == 404,
                      "%s: the outer request was carried out", doubtful[i].name);
    }
    client_free(client);
    node_free(&node);
}
END_TEST

UNIT_MAIN("smuggling", test_smuggling_doubtful_end_gets_one_answer_and_a_close)
