#include "stand.h"

#include "clock.h"
#include "datadir.h"
#include "proxy.h"
#include "reads.h"
#include "scans.h"
#include "server.h"
#include "survey.h"
#include "watches.h"
#include "writes.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER_MS_MAX 20000u

/* ---- sockets ---- */

static int open_listener(uint16_t *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, bytes), 0);
    ck_assert_int_eq(listen(fd, 16), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &bytes), 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

static int open_connection(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    ck_assert_int_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

/* ---- the leader ---- */

/* Reads one request; false if the connection ends before it is whole. */
static bool leader_read(const struct leader *leader, int fd, struct leader_request *request)
{
    size_t capacity = 1u << 20;
    request->text = calloc(1, capacity + 1);
    while (request->length < capacity) {
        ssize_t got = recv(fd, request->text + request->length, capacity - request->length, 0);
        if (got <= 0)
            return false;
        request->length += (size_t)got;
        const char *end = strstr(request->text, "\r\n\r\n");
        if (!end)
            continue;
        request->head_bytes = (size_t)(end - request->text) + 4;
        const char *length = strcasestr(request->text, "\r\nContent-Length:");
        size_t body_bytes = length && length < end ? strtoul(length + 17, NULL, 10) : 0;
        if (leader->reads_heads_only || request->length >= request->head_bytes + body_bytes)
            return true;
    }
    return false;
}

/* False: the connection is to be closed. The other end's end is not seen behind a body that nobody
 * reads: leader_close is. */
static bool leader_act(struct leader *leader, int fd, enum leader_act act)
{
    struct pollfd ends[] = {{.fd = fd, .events = POLLRDHUP}, {.fd = leader->listen_fd}};
    size_t length = strlen(leader->answer);
    if (act == LEADER_ANSWERS)
        return send(fd, leader->answer, length, MSG_NOSIGNAL) == (ssize_t)length;
    if (act == LEADER_BREAKS || act == LEADER_STALLS)
        (void)!send(fd, leader->answer, length - 3, MSG_NOSIGNAL);
    if (act == LEADER_HANGS || act == LEADER_STALLS)
        (void)!poll(ends, 2, -1);
    return false;
}

static void *leader_run(void *context)
{
    struct leader *leader = context;
    unsigned connection = 0;
    int fd;
    while ((fd = accept(leader->listen_fd, NULL, NULL)) >= 0) {
        bool goes_on = true;
        connection++;
        while (goes_on && leader->requests_count < LEADER_REQUESTS_MAX) {
            struct leader_request request = {.connection = connection};
            unsigned place = leader->requests_count;
            if (place >= leader->acts_count)
                place = leader->acts_count - 1;
            goes_on = leader_read(leader, fd, &request);
            if (!goes_on) {
                free(request.text);
                break;
            }
            leader->requests[leader->requests_count++] = request;
            goes_on = leader_act(leader, fd, leader->acts[place]);
        }
        close(fd);
    }
    return NULL;
}

void leader_open(struct leader *leader)
{
    uint16_t port;
    leader->listen_fd = open_listener(&port);
    snprintf(leader->url, sizeof(leader->url), "http://127.0.0.1:%u", port);
    ck_assert_int_eq(pthread_create(&leader->thread, NULL, leader_run, leader), 0);
}

void leader_close(struct leader *leader)
{
    (void)shutdown(leader->listen_fd, SHUT_RDWR);
    ck_assert_int_eq(pthread_join(leader->thread, NULL), 0);
    close(leader->listen_fd);
}

void leader_free(struct leader *leader)
{
    for (unsigned i = 0; i < leader->requests_count; i++)
        free(leader->requests[i].text);
}

/* ---- raftd and storaged ---- */

static int raftd_hello(void *context, struct wire_reader *body, uint32_t *ret_peer,
                       struct buffer *welcome, struct error *error)
{
    struct hello own = hello_of(PROTO_ROLE_RAFTD, 7, "node2"), peer;
    (void)context, (void)error;
    ck_assert_int_eq(hello_decode(body, &peer), 0);
    *ret_peer = (uint32_t)peer.role;
    hello_encode(welcome, &own);
    return 0;
}

static int storaged_hello(void *context, struct wire_reader *body, uint32_t *ret_peer,
                          struct buffer *welcome, struct error *error)
{
    struct hello own = hello_of(PROTO_ROLE_STORAGED, 8, "node2"), peer;
    (void)context, (void)error;
    ck_assert_int_eq(hello_decode(body, &peer), 0);
    *ret_peer = (uint32_t)peer.role;
    hello_encode(welcome, &own);
    return 0;
}

static uint16_t answer_propose(struct stand *stand, struct bus_request *request)
{
    struct message_list list;
    struct result_record record = {.status = stand->status};
    ck_assert_int_eq(propose_decode(&request->body, &list), 0);
    result_begin(&stand->reply, &stand->hint);
    for (uint32_t i = 0; i < list.left; i++)
        result_add(&stand->reply, &record);
    return PROTO_RESULT;
}

static uint16_t answer_read_index(struct stand *stand)
{
    struct read_index_reply reply = {
        .status = stand->status, .index = stand->index, .hint = stand->hint};
    read_index_ok_encode(&stand->reply, &reply);
    return PROTO_READ_INDEX_OK;
}

static uint16_t answer_change(struct stand *stand, struct bus_request *request)
{
    struct members_reply reply = {.status = stand->status, .hint = stand->hint};
    snprintf(reply.reason, sizeof(reply.reason), "%s", stand->reason ? stand->reason : "");
    if (request->type == PROTO_JOIN)
        ck_assert_int_eq(join_decode(&request->body, &stand->last_join), 0);
    else if (request->type == PROTO_REMOVE)
        ck_assert_int_eq(remove_decode(&request->body, &stand->last_name), 0);
    else
        ck_assert_int_eq(transfer_decode(&request->body, &stand->last_name), 0);
    members_ok_encode(&stand->reply, &reply);
    return PROTO_MEMBERS_OK;
}

static void stand_then(void *context)
{
    struct stand *stand = context;
    stand->then(stand);
}

static void raftd_request(void *context, struct bus_request *request)
{
    struct stand *stand = context;
    uint16_t type;
    if (request->type == PROTO_RAFT_STATUS)
        return; /* nobody looks */
    stand->calls++;
    if (stand->then)
        loop_before_wait(stand->httpd.loop, &stand->then_task, stand_then, stand);
    stand->last_type = request->type;
    stand->last_route = request->route;
    if (request->type == PROTO_PROPOSE)
        type = answer_propose(stand, request);
    else if (request->type == PROTO_READ_INDEX)
        type = answer_read_index(stand);
    else
        type = answer_change(stand, request);
    if (stand->refuses)
        bus_refuse(stand->raftd, &request->route, PROTO_STATUS_BAD_REQUEST, "no");
    else if (!stand->silent)
        bus_reply(stand->raftd, &request->route, type, &stand->reply);
}

static void storaged_request(void *context, struct bus_request *request)
{
    struct stand *stand = context;
    if (stand->on_storaged)
        stand->on_storaged(stand, request);
}

static void open_daemons(struct stand *stand)
{
    struct error error = {""};
    struct bus_server_options raftd = {.loop = stand->httpd.loop,
                                       .url = DATADIR_RAFTD_URL,
                                       .epoch = 7,
                                       .on_hello = raftd_hello,
                                       .on_request = raftd_request,
                                       .context = stand};
    struct bus_server_options storaged = {.loop = stand->httpd.loop,
                                          .url = DATADIR_STORAGED_URL,
                                          .epoch = 8,
                                          .on_hello = storaged_hello,
                                          .on_request = storaged_request,
                                          .context = stand};
    ck_assert_msg(!bus_server_new(&stand->raftd, &raftd, &error), "%s", error.text);
    ck_assert_msg(!bus_server_new(&stand->storaged, &storaged, &error), "%s", error.text);
}

/* ---- the node ---- */

static void at_turn_end(void *context)
{
    struct httpd *httpd = context;
    server_run(httpd->server);
    writes_at_turn_end(httpd->writes);
    reads_at_turn_end(httpd->reads);
    scans_at_turn_end(httpd->scans);
    watches_at_turn_end(httpd->watches);
    survey_at_turn_end(httpd->survey);
    server_check(httpd->server);
}

void stand_open(struct stand *stand, enum config_follower_mode mode)
{
    struct error error = {""};
    struct httpd *httpd = &stand->httpd;
    *stand = (struct stand){.folder = "/tmp/conure-stand-XXXXXX"};
    (void)signal(SIGPIPE, SIG_IGN);
    ck_assert_ptr_nonnull(mkdtemp(stand->folder));
    ck_assert_msg(!datadir_enter(stand->folder, &error), "%s", error.text);
    strcpy(stand->config.node_id, "node2");
    stand->config.follower_mode = mode;
    stand->config.barrier_timeout_ms = 3000;
    stand->config.key_bytes_max = LIMIT_KEY_BYTES_CAP;
    stand->config.value_bytes_max = LIMIT_VALUE_BYTES_DEFAULT;
    httpd->config = &stand->config;
    httpd->hello = hello_of(PROTO_ROLE_HTTPD, 9, "node2");
    ck_assert_int_eq(loop_new(&httpd->loop), 0);
    open_daemons(stand);
    stand->listen_fd = open_listener(&stand->port);
    httpd->writes = writes_new(httpd);
    httpd->reads = reads_new(httpd);
    httpd->scans = scans_new(httpd);
    httpd->watches = watches_new(httpd);
    httpd->survey = survey_new(httpd);
    httpd->changes = changes_new(httpd);
    if (mode == FOLLOWER_PROXY)
        ck_assert_msg(!proxy_new(&httpd->proxy, httpd, &error), "%s", error.text);
    ck_assert_msg(!server_new(&httpd->server, httpd, stand->listen_fd, &error), "%s", error.text);
    ck_assert_msg(!httpd_dial(httpd, &error), "%s", error.text);
    loop_at_turn_end(httpd->loop, at_turn_end, httpd);
    uint64_t until_ms = clock_monotonic_ms() + ANSWER_MS_MAX;
    while (!edge_is_up(httpd, EDGE_RAFTD) || !edge_is_up(httpd, EDGE_STORAGED)) {
        ck_assert_uint_lt(clock_monotonic_ms(), until_ms);
        loop_turn(httpd->loop, 10);
    }
}

void stand_close(struct stand *stand)
{
    struct httpd *httpd = &stand->httpd;
    char command[128];
    stand_turn(stand, 20); /* closed connections are seen */
    httpd_hang_up(httpd);
    server_free(httpd->server);
    writes_free(httpd->writes);
    reads_free(httpd->reads);
    scans_free(httpd->scans);
    watches_free(httpd->watches);
    survey_free(httpd->survey);
    changes_free(httpd->changes);
    proxy_free(httpd->proxy);
    bus_server_free(stand->raftd);
    bus_server_free(stand->storaged);
    loop_free(httpd->loop);
    close(stand->listen_fd);
    buffer_free(&stand->reply);
    snprintf(command, sizeof(command), "rm -rf %s", stand->folder);
    ck_assert_int_eq(system(command), 0);
}

void stand_end_raftd(struct stand *stand)
{
    bus_server_free(stand->raftd);
    stand->raftd = NULL;
}

void stand_follow(struct stand *stand, const char *leader_url)
{
    stand->status = PROTO_STATUS_NOT_LEADER;
    strcpy(stand->hint.id, "node1");
    strcpy(stand->hint.raft_address, "127.0.0.1:7001");
    strcpy(stand->hint.http_url, leader_url);
}

void stand_turn(struct stand *stand, unsigned ms)
{
    uint64_t until_ms = clock_monotonic_ms() + ms;
    do {
        loop_turn(stand->httpd.loop, 1);
    } while (clock_monotonic_ms() < until_ms);
}

struct stand_answer stand_ask(struct stand *stand, const char *request, size_t length)
{
    struct stand_answer answer = {0};
    size_t capacity = 32u << 20, got_bytes = 0, sent = 0;
    uint64_t until_ms = clock_monotonic_ms() + ANSWER_MS_MAX;
    int fd = open_connection(stand->port);
    answer.text = malloc(capacity);
    for (;;) {
        ck_assert_msg(clock_monotonic_ms() < until_ms, "no answer to %.60s", request);
        if (sent < length) {
            ssize_t part = send(fd, request + sent, length - sent, MSG_NOSIGNAL);
            sent += part > 0 ? (size_t)part : 0;
        }
        loop_turn(stand->httpd.loop, 1);
        ssize_t got = recv(fd, answer.text + got_bytes, capacity - 1 - got_bytes, 0);
        if (got == 0 || (got < 0 && errno != EAGAIN))
            break;
        got_bytes += got > 0 ? (size_t)got : 0;
    }
    close(fd);
    answer.text[got_bytes] = '\0';
    const char *end = strstr(answer.text, "\r\n\r\n");
    if (end) {
        (void)sscanf(answer.text, "HTTP/1.1 %d", &answer.status);
        answer.body = end + 4;
        answer.body_bytes = got_bytes - (size_t)(answer.body - answer.text);
    }
    return answer;
}

int stand_begin(struct stand *stand, const char *request)
{
    int fd = open_connection(stand->port);
    ck_assert_int_eq(send(fd, request, strlen(request), MSG_NOSIGNAL), (ssize_t)strlen(request));
    return fd;
}

void stand_answer_read_index(struct stand *stand)
{
    uint16_t type = answer_read_index(stand);
    bus_reply(stand->raftd, &stand->last_route, type, &stand->reply);
}

int stand_send(struct stand *stand, const char *request)
{
    uint64_t until_ms = clock_monotonic_ms() + ANSWER_MS_MAX;
    unsigned calls = stand->calls;
    int fd = stand_begin(stand, request);
    while (stand->calls == calls) {
        ck_assert_msg(clock_monotonic_ms() < until_ms, "nobody was asked for %.60s", request);
        loop_turn(stand->httpd.loop, 1);
    }
    return fd;
}

struct stand_answer stand_do(struct stand *stand, const char *method_and_target,
                             const char *header_lines, const char *body)
{
    size_t body_bytes = body ? strlen(body) : 0, capacity = body_bytes + 32768;
    char *request = malloc(capacity);
    char length_line[64] = "";
    if (body)
        snprintf(length_line, sizeof(length_line), "Content-Length: %zu\r\n", body_bytes);
    int length = snprintf(
        request, capacity, "%s HTTP/1.1\r\nHost: h\r\nConnection: close\r\n%s%s\r\n%s",
        method_and_target, length_line, header_lines ? header_lines : "", body ? body : "");
    struct stand_answer answer = stand_ask(stand, request, (size_t)length);
    free(request);
    return answer;
}

bool stand_has_line(const struct stand_answer *answer, const char *line)
{
    char whole[16384];
    snprintf(whole, sizeof(whole), "\r\n%s\r\n", line);
    const char *at = strstr(answer->text, whole);
    return at && at < answer->body;
}

void stand_answer_free(struct stand_answer *answer)
{
    free(answer->text);
    *answer = (struct stand_answer){0};
}
