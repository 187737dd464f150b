/* members, join, remove and transfer against servers that answer by a table. */
#include "session.h"

#include "../unit.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- a server ---- */

#define REQUESTS_MAX 256u

struct row {
    const char *request; /* how it begins */
    const char *status;  /* "200 OK", and further header lines */
    const char *body;
};

struct server {
    const struct row *rows; /* ends with a NULL request; what is in none ends the connection */
    int listen_fd;
    pthread_t thread;
    char url[64];
    char requests[REQUESTS_MAX][1024]; /* whole */
    unsigned requests_count;
};

static size_t server_read(int fd, char *into, size_t into_bytes)
{
    size_t length = 0;
    while (length + 1 < into_bytes) {
        ssize_t got = recv(fd, into + length, into_bytes - 1 - length, 0);
        if (got <= 0)
            return 0;
        length += (size_t)got;
        into[length] = '\0';
        const char *end = strstr(into, "\r\n\r\n"), *field = strcasestr(into, "content-length:");
        if (end && length >= (size_t)(end + 4 - into) + (field ? strtoul(field + 15, NULL, 10) : 0))
            return length;
    }
    return 0;
}

/* One answer a connection. */
static void server_answer(const struct server *server, int fd, const char *request)
{
    char text[4096];
    for (const struct row *row = server->rows; row->request; row++) {
        if (strncmp(request, row->request, strlen(row->request)))
            continue;
        int length = snprintf(text, sizeof(text),
                              "HTTP/1.1 %s\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
                              row->status, strlen(row->body), row->body);
        (void)!send(fd, text, (size_t)length, MSG_NOSIGNAL);
        return;
    }
}

static void *server_run(void *context)
{
    struct server *server = context;
    int fd;
    while ((fd = accept(server->listen_fd, NULL, NULL)) >= 0) {
        char *request = server->requests[server->requests_count];
        if (server->requests_count + 1 < REQUESTS_MAX &&
            server_read(fd, request, sizeof(server->requests[0]))) {
            server->requests_count++;
            server_answer(server, fd, request);
        }
        close(fd);
    }
    return NULL;
}

static void server_open(struct server *server)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof(address);
    server->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(server->listen_fd, (struct sockaddr *)&address, bytes), 0);
    ck_assert_int_eq(listen(server->listen_fd, 16), 0);
    ck_assert_int_eq(getsockname(server->listen_fd, (struct sockaddr *)&address, &bytes), 0);
    snprintf(server->url, sizeof(server->url), "http://127.0.0.1:%u", ntohs(address.sin_port));
    ck_assert_int_eq(pthread_create(&server->thread, NULL, server_run, server), 0);
}

static void server_close(struct server *server)
{
    (void)shutdown(server->listen_fd, SHUT_RDWR);
    ck_assert_int_eq(pthread_join(server->thread, NULL), 0);
    close(server->listen_fd);
}

static unsigned server_count(const struct server *server, const char *begin)
{
    unsigned count = 0;
    for (unsigned i = 0; i < server->requests_count; i++)
        count += !strncmp(server->requests[i], begin, strlen(begin));
    return count;
}

/* ---- the shell ---- */

static struct session session;
static char output[8192];

/* Runs the words with these servers; stdout and stderr are in `output`. Returns the exit code. */
static int run(const char *line, const char *first, const char *second)
{
    struct options options = options_default();
    struct error error = {""};
    char servers[1024], path[] = "/tmp/conure-test-members-XXXXXX";
    int fd = mkstemp(path), out = dup(STDOUT_FILENO), err = dup(STDERR_FILENO);
    snprintf(servers, sizeof(servers), "%s%s%s", first, second ? "," : "", second ? second : "");
    ck_assert_int_eq(url_parse_servers(servers, &options.servers, &error), 0);
    ck_assert_int_eq(session_open(&session, &options, NULL), 0);
    ck_assert(dup2(fd, STDOUT_FILENO) >= 0 && dup2(fd, STDERR_FILENO) >= 0);
    int exit_code = session_run_line(&session, line, strlen(line));
    fflush(stdout);
    ck_assert(dup2(out, STDOUT_FILENO) >= 0 && dup2(err, STDERR_FILENO) >= 0);
    ssize_t length = pread(fd, output, sizeof(output) - 1, 0);
    output[length > 0 ? length : 0] = '\0';
    close(fd), close(out), close(err);
    unlink(path);
    session_close(&session);
    return exit_code;
}

static const struct row no_rows[] = {{NULL}};

/* ---- members ---- */

START_TEST(test_members_are_shown_as_a_table_or_as_json)
{
    static const char body[] = "{\"leader\":\"10.0.0.1:7001\",\"servers\":["
                               "{\"id\":\"node1\",\"address\":\"10.0.0.1:7001\",\"suffrage\":"
                               "\"voter\",\"http_url\":\"http://a:1\"},"
                               "{\"id\":\"n2\",\"address\":\"10.0.0.22:7001\",\"suffrage\":"
                               "\"voter\",\"http_url\":\"http://b:1\"},"
                               "{\"id\":\"n3\",\"address\":\"c:7\",\"suffrage\":\"staging\",\"http_"
                               "url\":\"http://\\u001bc:1\"}]}\n";
    static const struct row rows[] = {{"GET /raft/config ", "200 OK", body}, {NULL}};
    struct server server = {.rows = rows};
    server_open(&server);
    ck_assert_int_eq(run("members", server.url, NULL), 0);
    ck_assert_str_eq(output, "ID     ROLE     RAFT ADDRESS    HTTP URL\n"
                             "node1  leader   10.0.0.1:7001   http://a:1\n"
                             "n2     voter    10.0.0.22:7001  http://b:1\n"
                             "n3     staging  c:7             http://\\x1bc:1\n");
    ck_assert_int_eq(run("members --json", server.url, NULL), 0);
    ck_assert_str_eq(output, body);
    server_close(&server);
}
END_TEST

START_TEST(test_members_of_a_strange_answer_is_a_failure)
{
    static const struct row rows[] = {{"GET /raft/config ", "200 OK", "[1]"}, {NULL}};
    struct server server = {.rows = rows};
    server_open(&server);
    ck_assert_int_eq(run("members", server.url, NULL), 1);
    ck_assert_ptr_nonnull(strstr(output, "has no servers"));
    server_close(&server);
}
END_TEST

/* ---- changes ---- */

START_TEST(test_changes_send_their_operands)
{
    static const struct row rows[] = {
        {"POST /", "200 OK", "OK\n"},
        {"GET /status ", "200 OK", "{\"node_id\":\"node1\",\"cluster_id\":\"c\",\"keys\":1}"},
        {"GET /raft/config ", "200 OK", "{\"servers\":[{}]}"},
        {NULL}};
    static const struct {
        const char *line, *begin, *body;
    } cases[] = {
        {"join node2 127.0.0.1:7002", "POST /join ",
         "\r\n\r\n{\"ID\":\"node2\",\"RaftAddr\":\"127.0.0.1:7002\"}"},
        {"remove node2", "POST /remove ", "\r\n\r\n{\"ID\":\"node2\"}"},
        {"transfer node3", "POST /transfer ", "\r\n\r\n{\"ID\":\"node3\"}"},
        {"transfer", "POST /transfer ", "\r\n\r\n"},
        {"remove \"a\\\"b\"", "POST /remove ", "\r\n\r\n{\"ID\":\"a\\\"b\"}"},
    };
    for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct server server = {.rows = rows};
        server_open(&server);
        ck_assert_int_eq(run(cases[i].line, server.url, NULL), 0);
        ck_assert_str_eq(output, "OK\n");
        server_close(&server);
        const char *request = server.requests[server.requests_count - 1];
        size_t length = strlen(request), tail = strlen(cases[i].body);
        ck_assert_msg(!strncmp(request, cases[i].begin, strlen(cases[i].begin)), "%s", request);
        ck_assert_msg(length > tail && !strcmp(request + length - tail, cases[i].body), "%s",
                      request);
    }
    ck_assert_int_eq(run("remove a\\x00b", "http://127.0.0.1:1", NULL), 2);
    ck_assert_int_eq(run("join node2", "http://127.0.0.1:1", NULL), 2);
    ck_assert_int_eq(run("remove", "http://127.0.0.1:1", NULL), 2);
}
END_TEST

START_TEST(test_changes_failures_have_their_exit_codes)
{
    static const struct {
        const char *status;
        int exit_code;
        const char *part;
    } cases[] = {
        {"400 Bad Request", 1, "the reason (HTTP 400)"},
        {"404 Not Found", 3, "the reason (HTTP 404)"},
        {"409 Conflict", 1, "remove: the reason (HTTP 409)"},
        {"502 Bad Gateway", 1, "remove: the reason (HTTP 502)"},
        {"503 Service Unavailable\r\nRetry-After: 1", 5, "the reason (HTTP 503)"},
        {"504 Gateway Timeout", 5, "outcome unknown"},
    };
    for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct row rows[] = {{"POST /remove ", cases[i].status, "{\"detail\":\"the reason\"}"},
                             {NULL}};
        struct server server = {.rows = rows};
        server_open(&server);
        ck_assert_int_eq(run("remove node2", server.url, NULL), cases[i].exit_code);
        ck_assert_msg(strstr(output, cases[i].part) != NULL, "%s: %s", cases[i].status, output);
        server_close(&server);
        ck_assert_uint_eq(server.requests_count, 1);
    }
}
END_TEST

/* A redirect, and the answer of a node in follower_mode conflict: both name the leader. */
START_TEST(test_changes_go_to_the_leader_that_is_named)
{
    static const struct row at_leader[] = {{"POST /remove ", "200 OK", "OK\n"}, {NULL}};
    for (unsigned i = 0; i < 2; i++) {
        char status[256], body[256];
        struct server leader = {.rows = at_leader};
        server_open(&leader);
        snprintf(status, sizeof(status), "307 Temporary Redirect\r\nLocation: %s/remove",
                 leader.url);
        snprintf(body, sizeof(body), "{\"leader\":\"x:1\",\"leader_url\":\"%s\"}", leader.url);
        struct row rows[] = {{"POST /remove ", i ? "409 Conflict" : status, i ? body : ""}, {NULL}};
        struct server follower = {.rows = rows};
        server_open(&follower);
        ck_assert_msg(run("remove node2", follower.url, NULL) == 0, "%s", output);
        server_close(&follower);
        server_close(&leader);
        ck_assert_uint_eq(follower.requests_count, 1);
        ck_assert_uint_eq(leader.requests_count, 1);
        ck_assert_ptr_nonnull(strstr(leader.requests[0], "{\"ID\":\"node2\"}"));
    }
}
END_TEST

/* Two nodes that name each other: given up, and nothing was done. */
START_TEST(test_changes_of_nodes_that_name_each_other_end)
{
    char body[256];
    struct row rows[] = {{"POST /remove ", "409 Conflict", body}, {NULL}};
    struct server server = {.rows = rows};
    server_open(&server);
    snprintf(body, sizeof(body), "{\"leader_url\":\"%s\"}", server.url);
    ck_assert_int_eq(run("remove node2", server.url, NULL), 5);
    ck_assert_ptr_nonnull(strstr(output, "redirected too often"));
    server_close(&server);
    ck_assert_uint_eq(server.requests_count, REPL_REDIRECTS_MAX + 1);
}
END_TEST

/* ---- join ---- */

/* What a node says of itself. */
static const struct row at_self[] = {
    {"GET /status ", "200 OK",
     "{\"node_id\":\"node2\",\"cluster_id\":\"s\",\"raftd_up\":true,\"storaged_up\":true,"
     "\"members\":1,\"settled\":false,\"seeks\":true,\"founds\":false}"},
    {"POST /join ", "200 OK", "OK\n"},
    {NULL}};
static const struct row at_other[] = {
    {"GET /status ", "200 OK",
     "{\"node_id\":\"node1\",\"cluster_id\":\"o\",\"raftd_up\":true,\"storaged_up\":true,"
     "\"members\":1,\"settled\":true,\"seeks\":false,\"founds\":false}"},
    {"POST /join ", "200 OK", "OK\n"},
    {NULL}};
static const struct row at_member[] = {
    {"GET /status ", "200 OK",
     "{\"node_id\":\"node1\",\"cluster_id\":\"m\",\"raftd_up\":true,\"storaged_up\":true,"
     "\"members\":2,\"settled\":true,\"seeks\":false,\"founds\":false}"},
    {"POST /join ", "503 Service Unavailable", ""},
    {NULL}};
static const struct row at_invited[] = {
    {"GET /status ", "200 OK",
     "{\"node_id\":\"node5\",\"cluster_id\":\"m\",\"raftd_up\":true,\"storaged_up\":true,"
     "\"members\":0,\"settled\":false,\"seeks\":false,\"founds\":false}"},
    {"POST /join ", "503 Service Unavailable", ""},
    {NULL}};
static const struct row at_inviting[] = {
    {"GET /status ", "200 OK",
     "{\"node_id\":\"node8\",\"cluster_id\":\"m\",\"raftd_up\":true,\"storaged_up\":true,"
     "\"members\":1,\"settled\":false,\"seeks\":true,\"founds\":false}"},
    {"POST /join ", "503 Service Unavailable", ""},
    {NULL}};
static const struct row at_waiting[] = {
    {"GET /status ", "200 OK",
     "{\"node_id\":\"node6\",\"cluster_id\":\"z\",\"raftd_up\":true,\"storaged_up\":true,"
     "\"members\":1,\"settled\":false,\"seeks\":false,\"founds\":false}"},
    {"POST /join ", "200 OK", "OK\n"},
    {NULL}};
static const struct row at_founder[] = {
    {"GET /status ", "200 OK",
     "{\"node_id\":\"node7\",\"cluster_id\":\"y\",\"raftd_up\":true,\"storaged_up\":true,"
     "\"members\":1,\"settled\":false,\"seeks\":true,\"founds\":true}"},
    {"POST /join ", "200 OK", "OK\n"},
    {NULL}};
static const struct row at_new_a[] = {
    {"GET /status ", "200 OK",
     "{\"node_id\":\"node3\",\"cluster_id\":\"a\",\"raftd_up\":true,\"storaged_up\":true,"
     "\"members\":1,\"settled\":false,\"seeks\":true,\"founds\":false}"},
    {"POST /join ", "200 OK", "OK\n"},
    {NULL}};
static const struct row at_new_b[] = {
    {"GET /status ", "200 OK",
     "{\"node_id\":\"node4\",\"cluster_id\":\"b\",\"raftd_up\":true,\"storaged_up\":true,"
     "\"members\":1,\"settled\":false,\"seeks\":true,\"founds\":false}"},
    {"POST /join ", "200 OK", "OK\n"},
    {NULL}};

START_TEST(test_join_asks_another_node_than_the_one_that_joins)
{
    for (unsigned i = 0; i < 2; i++) {
        struct server self = {.rows = at_self}, other = {.rows = at_other};
        server_open(&self);
        server_open(&other);
        ck_assert_int_eq(run("join node2 h:1", i ? other.url : self.url, i ? self.url : other.url),
                         0);
        server_close(&self);
        server_close(&other);
        ck_assert_uint_eq(server_count(&self, "POST"), 0);
        ck_assert_uint_eq(server_count(&other, "POST /join "), 1);
    }
}
END_TEST

START_TEST(test_join_of_nobody_but_itself_is_a_usage_error)
{
    struct server self = {.rows = at_waiting};
    server_open(&self);
    ck_assert_int_eq(run("join node6 h:1", self.url, NULL), 2);
    ck_assert_ptr_nonnull(strstr(output, "the node node6 itself"));
    server_close(&self);
    ck_assert_uint_eq(server_count(&self, "POST"), 0);
}
END_TEST

/* A seed that is down does not keep the others from being asked; all down is "unavailable". */
START_TEST(test_join_goes_past_servers_that_do_not_answer)
{
    struct server mute = {.rows = no_rows}, other = {.rows = at_other};
    server_open(&mute);
    server_open(&other);
    ck_assert_int_eq(run("join node2 h:1", mute.url, other.url), 0);
    ck_assert_int_eq(run("join node2 h:1", "http://127.0.0.1:1", other.url), 0);
    ck_assert_int_eq(run("join node2 h:1", "http://127.0.0.1:1", "http://127.0.0.1:2"), 5);
    server_close(&mute);
    server_close(&other);
    ck_assert_uint_eq(server_count(&mute, "POST"), 0);
    ck_assert_uint_eq(server_count(&other, "POST /join "), 2);
}
END_TEST

/* Which of two servers is asked, whatever their order; the other is not, even if that one has no
 * time: the two nodes would be a second cluster, for ever. */
START_TEST(test_join_asks_the_better_one_and_no_other)
{
    static const struct {
        const struct row *asked, *other;
    } cases[] = {
        {at_member, at_new_a},  {at_member, at_waiting}, {at_other, at_new_a},
        {at_waiting, at_new_a}, {at_founder, at_new_a},  {at_new_a, at_new_b},
    };
    for (unsigned i = 0; i < 2 * sizeof(cases) / sizeof(*cases); i++) {
        struct server asked = {.rows = cases[i / 2].asked}, other = {.rows = cases[i / 2].other};
        server_open(&asked);
        server_open(&other);
        (void)run("join node9 h:1", i % 2 ? asked.url : other.url, i % 2 ? other.url : asked.url);
        server_close(&asked);
        server_close(&other);
        ck_assert_msg(server_count(&asked, "POST /join ") == 1, "case %u", i / 2);
        ck_assert_msg(server_count(&other, "POST /join ") == 0, "case %u", i / 2);
    }
}
END_TEST

/* Who was invited has no members to show yet, but speaks for who invited it. */
START_TEST(test_join_asks_who_has_invited_somebody)
{
    struct server inviting = {.rows = at_inviting}, invited = {.rows = at_invited},
                  new = {.rows = at_new_a};
    char urls[256];
    server_open(&inviting);
    server_open(&invited);
    server_open(&new);
    snprintf(urls, sizeof(urls), "%s,%s", invited.url, inviting.url);
    ck_assert_int_eq(run("join node9 h:1", new.url, urls), 5);
    server_close(&inviting);
    server_close(&invited);
    server_close(&new);
    ck_assert_uint_eq(server_count(&inviting, "POST /join "), 1);
    ck_assert_uint_eq(server_count(&new, "POST /join "), 0);
}
END_TEST

/* Of new nodes one is the one that the others come to. It tells itself, and goes on looking. */
START_TEST(test_join_of_the_node_that_others_come_to_waits_for_them)
{
    struct server a = {.rows = at_new_a}, b = {.rows = at_new_b};
    server_open(&a);
    server_open(&b);
    ck_assert_int_eq(run("join node3 h:1", a.url, b.url), 5);
    ck_assert_ptr_nonnull(strstr(output, "node3 waits for others to join it"));
    ck_assert_ptr_null(strstr(output, "OK\n"));
    server_close(&a);
    server_close(&b);
    ck_assert_uint_eq(server_count(&a, "POST /join "), 1);
    ck_assert_uint_eq(server_count(&b, "POST /join "), 0);
}
END_TEST

/* Both have data. */
START_TEST(test_join_of_two_clusters_is_refused_with_the_reason)
{
    static const struct row with_data[] = {
        {"GET /status ", "200 OK",
         "{\"node_id\":\"node7\",\"cluster_id\":\"a\",\"raftd_up\":true,\"storaged_up\":true,"
         "\"members\":1,\"settled\":true,\"seeks\":false,\"founds\":false}"},
        {"POST /join ", "200 OK", "OK\n"},
        {NULL}};
    struct server self = {.rows = with_data}, other = {.rows = at_other};
    server_open(&self);
    server_open(&other);
    ck_assert_int_eq(run("join node7 h:1", self.url, other.url), 1);
    ck_assert_ptr_nonnull(strstr(output, "two cannot be made one"));
    server_close(&self);
    server_close(&other);
    ck_assert_uint_eq(server_count(&other, "POST"), 0);
}
END_TEST

/* A new node is not asked before who is silent had time to say what there is already; nor is one
 * whose daemons are not all there taken for new. */
START_TEST(test_join_of_a_new_node_waits_for_the_silent)
{
    static const struct row without_raftd[] = {
        {"GET /status ", "200 OK",
         "{\"node_id\":\"node1\",\"cluster_id\":\"\",\"raftd_up\":false,\"storaged_up\":true,"
         "\"members\":1,\"settled\":false,\"seeks\":false,\"founds\":false}"},
        {"POST /join ", "200 OK", "OK\n"},
        {NULL}};
    static const struct row without_storaged[] = {
        {"GET /status ", "200 OK",
         "{\"node_id\":\"node1\",\"cluster_id\":\"0\",\"raftd_up\":true,\"storaged_up\":false,"
         "\"members\":1,\"settled\":false,\"seeks\":false,\"founds\":false}"},
        {"POST /join ", "200 OK", "OK\n"},
        {NULL}};
    struct server new = {.rows = at_new_a}, silent[] = {{.rows = no_rows},
                                                        {.rows = without_raftd},
                                                        {.rows = without_storaged},
                                                        {.rows = at_invited}};
    char urls[512];
    server_open(&new);
    for (unsigned i = 0; i < 4; i++)
        server_open(&silent[i]);
    snprintf(urls, sizeof(urls), "%s,%s,%s,%s", silent[0].url, silent[1].url, silent[2].url,
             silent[3].url);
    ck_assert_int_eq(run("join node9 h:1", urls, new.url), 0);
    server_close(&new);
    ck_assert_uint_ge(server_count(&new, "GET /status"), 10);
    ck_assert_uint_eq(server_count(&new, "POST /join "), 1);
    for (unsigned i = 0; i < 4; i++) {
        server_close(&silent[i]);
        ck_assert_uint_eq(server_count(&silent[i], "POST /join "), 0);
    }
}
END_TEST

UNIT_MAIN("members", test_members_are_shown_as_a_table_or_as_json,
          test_members_of_a_strange_answer_is_a_failure, test_changes_send_their_operands,
          test_changes_failures_have_their_exit_codes, test_changes_go_to_the_leader_that_is_named,
          test_changes_of_nodes_that_name_each_other_end,
          test_join_asks_another_node_than_the_one_that_joins,
          test_join_of_nobody_but_itself_is_a_usage_error,
          test_join_goes_past_servers_that_do_not_answer,
          test_join_asks_the_better_one_and_no_other, test_join_asks_who_has_invited_somebody,
          test_join_of_the_node_that_others_come_to_waits_for_them,
          test_join_of_two_clusters_is_refused_with_the_reason,
          test_join_of_a_new_node_waits_for_the_silent)
