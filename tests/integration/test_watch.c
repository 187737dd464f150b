/* GET /watch through everything: consumers, each of a prefix of its own, see every acknowledged
 * change of it once and in order, while keys are written and leaders change, daemons are restarted
 * and killed. They resume with Last-Event-ID, at any node. */
#include "../unit/unit.h"

#include "lib/client.h"
#include "lib/cluster.h"
#include "lib/raw.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONSUMERS 10u
#define BLOWS 10u
#define BLOWS_NIGHTLY 50u
#define CHANGES_MAX 200000u

struct consumer {
    pthread_t thread, writer;
    unsigned number, node;
    char id[40];    /* of the last event */
    uint64_t *seen; /* revisions, in the order they came */
    unsigned seen_count;
    uint64_t *written; /* revisions, acknowledged */
    unsigned written_count;
    unsigned unknown; /* writes whose outcome nobody knows */
    unsigned streams;
    char line[4096];
    size_t line_bytes;
    bool has_data;
    char pending[40]; /* the id of the event that is coming */
};

static struct cluster cluster;
static struct consumer consumers[CONSUMERS];
static atomic_bool stop_writing, stop_watching;

/* ---- consumers ---- */

static void take_event(struct consumer *consumer)
{
    if (consumer->pending[0])
        snprintf(consumer->id, sizeof(consumer->id), "%s", consumer->pending);
    if (consumer->has_data) {
        ck_assert_uint_lt(consumer->seen_count, CHANGES_MAX);
        consumer->seen[consumer->seen_count++] = strtoull(consumer->pending, NULL, 10);
    }
    consumer->pending[0] = '\0';
    consumer->has_data = false;
}

/* An event counts when its empty line has come, as with browsers. */
static void take_line(struct consumer *consumer)
{
    const char *line = consumer->line;
    if (!line[0])
        take_event(consumer);
    else if (!strncmp(line, "id: ", 4))
        snprintf(consumer->pending, sizeof(consumer->pending), "%.39s", line + 4);
    else if (!strncmp(line, "data: ", 6))
        consumer->has_data = true;
    ck_assert_msg(strncmp(line, "event: gone", 11) != 0, "consumer %u fell behind",
                  consumer->number);
}

static size_t on_bytes(char *bytes, size_t one, size_t length, void *context)
{
    struct consumer *consumer = context;
    (void)one;
    for (size_t i = 0; i < length; i++) {
        if (bytes[i] != '\n') {
            ck_assert_uint_lt(consumer->line_bytes + 1, sizeof(consumer->line));
            consumer->line[consumer->line_bytes++] = bytes[i];
            continue;
        }
        consumer->line[consumer->line_bytes] = '\0';
        consumer->line_bytes = 0;
        take_line(consumer);
    }
    return length;
}

static int on_progress(void *context, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    (void)context, (void)a, (void)b, (void)c, (void)d;
    return atomic_load(&stop_watching);
}

/* One stream, until it ends. */
static void watch_once(struct consumer *consumer)
{
    char url[256], header[64];
    CURL *curl = curl_easy_init();
    struct curl_slist *headers = NULL;
    const struct node *node = &cluster.nodes[consumer->node % cluster.count];
    snprintf(url, sizeof(url), "%s/watch?prefix=p%u-&from=1", node->url, consumer->number);
    snprintf(header, sizeof(header), "Last-Event-ID: %s", consumer->id);
    if (consumer->id[0])
        headers = curl_slist_append(NULL, header);
    consumer->line_bytes = 0;
    consumer->pending[0] = '\0';
    consumer->has_data = false;
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, consumer);
    curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, 1000L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L); /* a comment comes every 10 s */
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, 15L);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    long status = 0;
    (void)curl_easy_perform(curl);
    (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    ck_assert_msg(status != 410, "consumer %u: 410 behind %s", consumer->number, consumer->id);
    curl_easy_cleanup(curl);
    curl_slist_free_all(headers);
    consumer->streams++;
}

static void *watch(void *context)
{
    struct consumer *consumer = context;
    while (!atomic_load(&stop_watching)) {
        watch_once(consumer);
        consumer->node++;
        usleep(20000);
    }
    return NULL;
}

/* ---- writers ---- */

static void *write_keys(void *context)
{
    struct consumer *consumer = context;
    struct client *clients[CLUSTER_NODES_MAX];
    char target[64], value[32];
    unsigned node = consumer->number;
    for (unsigned i = 0; i < cluster.count; i++) {
        clients[i] = client_new(cluster.nodes[i].url, 5000);
        client_send_once(clients[i]);
    }
    for (unsigned i = 0; !atomic_load(&stop_writing); i++) {
        snprintf(target, sizeof(target), "/kv?key=p%u-%u", consumer->number, i % 50);
        snprintf(value, sizeof(value), "%u", i);
        struct answer answer =
            client_do(clients[node % cluster.count], "PUT", target, value, strlen(value), NULL);
        if (answer.status == 200) {
            ck_assert_uint_lt(consumer->written_count, CHANGES_MAX);
            consumer->written[consumer->written_count++] = strtoull(answer.revision, NULL, 10);
            usleep(3000);
            continue;
        }
        consumer->unknown += answer.status == 504 || (answer.status == 0 && answer.sent);
        node++;
        usleep(20000);
    }
    for (unsigned i = 0; i < cluster.count; i++)
        client_free(clients[i]);
    return NULL;
}

/* ---- what is expected ---- */

static bool has_seen_all(const struct consumer *consumer)
{
    return consumer->written_count == 0 ||
           (consumer->seen_count && consumer->seen[consumer->seen_count - 1] >=
                                        consumer->written[consumer->written_count - 1]);
}

/* Each acknowledged one is there; what else is there had an unknown outcome. */
static void check(const struct consumer *consumer)
{
    unsigned written = 0, others = 0;
    for (unsigned i = 0; i < consumer->seen_count; i++) {
        ck_assert_msg(i == 0 || consumer->seen[i] > consumer->seen[i - 1],
                      "consumer %u: %llu behind %llu", consumer->number,
                      (unsigned long long)consumer->seen[i],
                      (unsigned long long)consumer->seen[i - 1]);
        if (written < consumer->written_count && consumer->written[written] == consumer->seen[i])
            written++;
        else
            others++;
    }
    ck_assert_msg(written == consumer->written_count, "consumer %u has not seen %llu",
                  consumer->number, (unsigned long long)consumer->written[written]);
    ck_assert_msg(others <= consumer->unknown, "consumer %u: %u that nobody wrote",
                  consumer->number, others - consumer->unknown);
}

static struct node *leader(void)
{
    int place = CLUSTER_NONE;
    CLUSTER_WAIT(&cluster, (place = cluster_leader(&cluster)) != CLUSTER_NONE, 20000);
    return &cluster.nodes[place];
}

static void blow(unsigned number)
{
    static const char *const daemons[] = {"httpd", "storaged", "raftd"};
    char output[512];
    struct node *node = &cluster.nodes[number % cluster.count];
    switch (number % 4) {
    case 0: {
        struct client *client = client_new(leader()->url, 10000);
        (void)client_do(client, "POST", "/transfer", "", 0, NULL);
        client_free(client);
        break;
    }
    case 1:
        ck_assert_int_eq(node_launch_command(node, "restart httpd", output, sizeof(output)), 0);
        break;
    case 2:
        node_kill_daemon(leader(), daemons[number / 4 % 3]);
        break;
    default:
        node_kill_daemon(node, daemons[number / 4 % 3]);
    }
}

static unsigned written_by_all(void)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < CONSUMERS; i++)
        sum += consumers[i].written_count;
    return sum;
}

START_TEST(test_watch_sees_every_change_once)
{
    unsigned blows = getenv("CONURE_NIGHTLY") ? BLOWS_NIGHTLY : BLOWS;
    unsigned events = 0, streams = 0, unknown = 0;
    cluster_make(&cluster, &(struct cluster_options){.count = 3});
    for (unsigned i = 0; i < CONSUMERS; i++) {
        struct consumer *consumer = &consumers[i];
        consumer->number = consumer->node = i;
        consumer->seen = calloc(CHANGES_MAX, sizeof(uint64_t));
        consumer->written = calloc(CHANGES_MAX, sizeof(uint64_t));
        ck_assert_int_eq(pthread_create(&consumer->thread, NULL, watch, consumer), 0);
        ck_assert_int_eq(pthread_create(&consumer->writer, NULL, write_keys, consumer), 0);
    }
    for (unsigned i = 0; i < blows; i++) {
        unsigned before = written_by_all();
        blow(i);
        CLUSTER_WAIT(&cluster, written_by_all() > before + 100, 30000);
    }
    atomic_store(&stop_writing, true);
    for (unsigned i = 0; i < CONSUMERS; i++)
        ck_assert_int_eq(pthread_join(consumers[i].writer, NULL), 0);
    for (unsigned i = 0; i < CONSUMERS; i++)
        CLUSTER_WAIT(&cluster, has_seen_all(&consumers[i]), 30000);
    atomic_store(&stop_watching, true);
    for (unsigned i = 0; i < CONSUMERS; i++) {
        ck_assert_int_eq(pthread_join(consumers[i].thread, NULL), 0);
        check(&consumers[i]);
        events += consumers[i].seen_count;
        streams += consumers[i].streams;
        unknown += consumers[i].unknown;
    }
    fprintf(stderr, "%u blows: %u events by %u consumers in %u streams, %u writes unknown\n", blows,
            events, CONSUMERS, streams, unknown);
    ck_assert_uint_gt(events, 1000);
    cluster_free(&cluster);
}
END_TEST

/* A stream that began before the first entry was applied must be able to go on from there. */
START_TEST(test_watch_of_a_node_without_entries_begins_at_0)
{
    struct node node;
    char answer[1024] = "";
    size_t length = 0;
    node_new(&node, "bootstrap: false\n");
    node_launch(&node);
    NODE_WAIT(&node, node_log_count(&node, "event=edge_up", "peer=storaged", NULL) > 0, 10000);
    int fd = raw_connect(&node, 0);
    raw_send(fd, "GET /watch HTTP/1.1\r\nHost: x\r\n\r\n");
    while (!strstr(answer, "\nid: 0\n\n")) {
        ssize_t taken = recv(fd, answer + length, sizeof(answer) - 1 - length, 0);
        ck_assert_msg(taken > 0, "no id in: %s", answer);
        length += (size_t)taken;
    }
    close(fd);
    node_free(&node);
}
END_TEST

#define SLOW_CHANGES 205u
#define SLOW_VALUE_BYTES 30000u /* less than the history in all */

static void put_numbered(struct client *client, const char *name, unsigned count, size_t bytes)
{
    static char value[SLOW_VALUE_BYTES];
    char target[64];
    memset(value, 'v', sizeof(value));
    for (unsigned i = 0; i < count; i++) {
        snprintf(target, sizeof(target), "/kv?key=%s%u", name, i);
        ck_assert_int_eq(client_do(client, "PUT", target, value, bytes, NULL).status, 200);
    }
}

/* Events are counted until there are so many, or one says that some are gone. */
static unsigned count_events(int fd, unsigned count_max, bool *ret_gone)
{
    static char line[1024];
    unsigned count = 0;
    size_t length = 0;
    *ret_gone = false;
    while (count < count_max && !*ret_gone) {
        char bytes[4096];
        ssize_t taken = recv(fd, bytes, sizeof(bytes), 0);
        ck_assert_msg(taken > 0, "%u events of %u", count, count_max);
        for (ssize_t i = 0; i < taken; i++) {
            if (length + 1 < sizeof(line))
                line[length++] = bytes[i];
            if (bytes[i] != '\n')
                continue;
            line[length] = '\0';
            length = 0;
            count += !strcmp(line, "event: put\n");
            *ret_gone = *ret_gone || !strcmp(line, "event: gone\n");
        }
    }
    return count;
}

/* A client that takes its time, while there is more and more: nothing is lost. */
START_TEST(test_watch_read_slowly_loses_nothing)
{
    struct node node;
    char answer[1024] = "";
    bool is_gone;
    node_new(&node, NULL);
    node_start(&node);
    struct client *client = client_new(node.url, 10000);
    put_numbered(client, "first", 1, 1);
    int fd = raw_connect(&node, 4096);
    raw_send(fd, "GET /watch HTTP/1.1\r\nHost: x\r\n\r\n");
    ck_assert_int_gt(recv(fd, answer, sizeof(answer) - 1, 0), 0);
    put_numbered(client, "f", SLOW_CHANGES - 5, SLOW_VALUE_BYTES);
    for (unsigned i = 0; i < 5; i++) /* each is news */
        put_numbered(client, "t", 1, 1);
    ck_assert_uint_eq(count_events(fd, SLOW_CHANGES, &is_gone), SLOW_CHANGES);
    ck_assert(!is_gone);
    close(fd);
    client_free(client);
    node_free(&node);
}
END_TEST

/* The indexes of a node that is taken in by another cluster mean something else from then on. */
START_TEST(test_watch_of_a_cluster_that_was_given_up_says_so)
{
    struct node nodes[2];
    char output[512], body[256], answer[1024] = "";
    bool is_gone;
    for (unsigned i = 0; i < 2; i++) {
        node_new_with(&nodes[i], &(struct node_options){.id = i ? "node2" : "node1"});
        node_start(&nodes[i]);
    }
    for (unsigned i = 0; i < 6; i++) /* an entry for each term */
        ck_assert_int_eq(node_launch_command(&nodes[1], "restart raftd", output, sizeof(output)),
                         0);
    struct client *client = client_new(nodes[0].url, 20000);
    NODE_WAIT(&nodes[1], node_is_ready(&nodes[1]), 10000);
    int fd = raw_connect(&nodes[1], 0);
    raw_send(fd, "GET /watch HTTP/1.1\r\nHost: x\r\n\r\n");
    ck_assert_int_gt(recv(fd, answer, sizeof(answer) - 1, 0), 0);
    snprintf(body, sizeof(body), "{\"ID\":\"node2\",\"RaftAddr\":\"%s\"}", nodes[1].raft_address);
    struct answer joined = client_do(client, "POST", "/join", body, strlen(body), NULL);
    ck_assert_msg(joined.status == 200, "%d %s", joined.status, joined.body);
    put_numbered(client, "k", 20, 1);
    (void)count_events(fd, 21, &is_gone);
    ck_assert(is_gone);
    close(fd);
    client_free(client);
    for (unsigned i = 0; i < 2; i++)
        node_free(&nodes[i]);
}
END_TEST

UNIT_MAIN_WITHIN(getenv("CONURE_NIGHTLY") ? 1200 : 250, "watch", test_watch_sees_every_change_once,
                 test_watch_read_slowly_loses_nothing,
                 test_watch_of_a_cluster_that_was_given_up_says_so,
                 test_watch_of_a_node_without_entries_begins_at_0)
