/* Counters: 32 clients count up 4 of them by If-Match while daemons are killed. A counter's value
 * has a number for each client, so that a client whose PUT had no answer can read what became of
 * it; at the end each number is what its client counted. */
#include "../unit/unit.h"

#include "lib/client.h"
#include "lib/node.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CLIENTS 32u
#define COUNTERS 4u
#define KILLS 12u
#define KILLS_NIGHTLY 200u
#define VALUE_BYTES (CLIENTS * 8u) /* a number is 7 digits and a space */
#define ANSWER_MS_MAX 60000u       /* of one increment, all tries included */

struct counting {
    pthread_t thread;
    unsigned number;
    unsigned counted[COUNTERS];            /* what the client knows to be done */
    unsigned acknowledged, resolved, lost; /* how it got to know; lost: another was faster */
};

static struct node node;
static struct counting clients[CLIENTS];
static atomic_bool stop;

struct counter {
    unsigned numbers[CLIENTS];
    char etag[32];
};

/* ---- one increment ---- */

static void parse(const char *text, size_t length, struct counter *counter)
{
    ck_assert_uint_eq(length, VALUE_BYTES);
    for (unsigned i = 0; i < CLIENTS; i++)
        counter->numbers[i] = (unsigned)strtoul(text + (size_t)i * 8, NULL, 10);
}

static void format(const struct counter *counter, char into[VALUE_BYTES + 1])
{
    for (unsigned i = 0; i < CLIENTS; i++)
        snprintf(into + (size_t)i * 8, 9, "%07u ", counter->numbers[i]);
}

static void name_target(char into[32], unsigned counter)
{
    snprintf(into, 32, "/kv?key=counter%u", counter);
}

/* Tries until it is answered. */
static void read_counter(struct client *client, unsigned number, struct counter *counter)
{
    char target[32];
    name_target(target, number);
    uint64_t until_ms = now_ms() + ANSWER_MS_MAX;
    for (;;) {
        struct answer answer = client_do(client, "GET", target, NULL, 0, NULL);
        if (answer.status == 200) {
            parse(answer.body, answer.body_bytes, counter);
            snprintf(counter->etag, sizeof(counter->etag), "%s", answer.etag);
            return;
        }
        ck_assert_msg(answer.status == 503 || answer.status == 504 || answer.status == 0, "GET: %d",
                      answer.status);
        ck_assert_uint_lt(now_ms(), until_ms);
        usleep(10000);
    }
}

static int write_counter(struct client *client, unsigned number, const struct counter *counter)
{
    char target[32], header[64], value[VALUE_BYTES + 1];
    name_target(target, number);
    snprintf(header, sizeof(header), "If-Match: %s", counter->etag);
    format(counter, value);
    return client_do(client, "PUT", target, value, VALUE_BYTES, header).status;
}

/* A PUT whose outcome is unknown can still be carried out as long as the counter's revision is the
 * one it wants: the same PUT again settles it. */
static void count_up(struct client *client, struct counting *self, unsigned number)
{
    struct counter counter;
    unsigned *own = &counter.numbers[self->number];
    bool is_unknown = false;
    char etag[32] = "";
    uint64_t until_ms = now_ms() + ANSWER_MS_MAX;
    for (;;) {
        read_counter(client, number, &counter);
        bool is_done = *own == self->counted[number] + 1;
        ck_assert_msg(is_done || *own == self->counted[number], "counter %u: %u, client %u had %u",
                      number, *own, self->number, self->counted[number]);
        ck_assert_msg(!is_done || is_unknown, "counter %u was counted up twice", number);
        if (is_done) {
            self->counted[number]++;
            self->resolved++;
            return;
        }
        if (is_unknown && strcmp(etag, counter.etag) != 0)
            return; /* for certain not done, and never will be */
        snprintf(etag, sizeof(etag), "%s", counter.etag);
        ++*own;
        int status = write_counter(client, number, &counter);
        if (status == 200) {
            self->counted[number]++;
            self->acknowledged++;
            return;
        }
        if (status == 412) {
            self->lost++;
            if (!is_unknown)
                return;
        } else if (status == 504 || status == 0) {
            is_unknown = true;
        } else {
            ck_assert_msg(status == 503, "PUT: %d", status);
            usleep(10000);
        }
        ck_assert_uint_lt(now_ms(), until_ms);
    }
}

static void *count(void *context)
{
    struct counting *self = context;
    struct client *client = client_new(node.url, 10000);
    client_send_once(client);
    for (unsigned i = self->number; !atomic_load(&stop); i++)
        count_up(client, self, i % COUNTERS);
    client_free(client);
    return NULL;
}

/* ---- all of them ---- */

static void begin(struct client *client)
{
    struct counter counter = {.etag = ""};
    char target[32], value[VALUE_BYTES + 1];
    format(&counter, value);
    for (unsigned i = 0; i < COUNTERS; i++) {
        name_target(target, i);
        ck_assert_int_eq(client_do(client, "PUT", target, value, VALUE_BYTES, NULL).status, 200);
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i].number = i;
        ck_assert_int_eq(pthread_create(&clients[i].thread, NULL, count, &clients[i]), 0);
    }
}

static unsigned counted_by_all(void)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < CLIENTS; i++)
        sum += clients[i].acknowledged;
    return sum;
}

static void end(struct client *client)
{
    struct counter counter;
    unsigned acknowledged = 0, resolved = 0, lost = 0;
    atomic_store(&stop, true);
    for (unsigned i = 0; i < CLIENTS; i++) {
        ck_assert_int_eq(pthread_join(clients[i].thread, NULL), 0);
        acknowledged += clients[i].acknowledged;
        resolved += clients[i].resolved;
        lost += clients[i].lost;
    }
    for (unsigned i = 0; i < COUNTERS; i++) {
        read_counter(client, i, &counter);
        for (unsigned j = 0; j < CLIENTS; j++)
            ck_assert_msg(counter.numbers[j] == clients[j].counted[i],
                          "counter %u: client %u counted %u, it has %u", i, j,
                          clients[j].counted[i], counter.numbers[j]);
    }
    fprintf(stderr, "%u increments acknowledged, %u found done, %u times another was faster\n",
            acknowledged, resolved, lost);
    ck_assert_uint_gt(acknowledged, 100);
}

START_TEST(test_counters_hold_what_was_acknowledged)
{
    static const char *const daemons[] = {"storaged", "raftd", "httpd"};
    unsigned kills = getenv("CONURE_NIGHTLY") ? KILLS_NIGHTLY : KILLS;
    node_new(&node, NULL);
    node_start(&node);
    struct client *client = client_new(node.url, 10000);
    begin(client);
    for (unsigned i = 0; i < kills; i++) {
        unsigned before = counted_by_all();
        node_kill_daemon(&node, daemons[i % 3]);
        NODE_WAIT(&node, counted_by_all() > before + CLIENTS, 20000);
    }
    end(client);
    client_free(client);
    node_free(&node);
}
END_TEST

UNIT_MAIN_WITHIN(280, "counters", test_counters_hold_what_was_acknowledged)
