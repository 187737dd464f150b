#include "crowd.h"

#include "chance.h"
#include "history.h"

#include <check.h>
#include <curl/curl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PAD_MAX 4000u
#define KNOWN_MAX 32u
#define CROWD_PATIENCE 6u /* some wait long, and so hear what a node says that was away */

/* What else is known of an operation. */
struct footnote {
    uint64_t revision; /* 0: the answer had none */
    short status;
    unsigned char client, node, redirects, curl_code;
};

/* What a client saw last of a key: the ground for its next swap. */
struct known {
    uint32_t key;
    uint64_t value; /* 0: absent */
    char etag[32];
};

struct member {
    struct crowd *crowd;
    unsigned number;
    unsigned via;
    uint64_t values;
    struct chance chance;
    struct session session;
    struct known known[KNOWN_MAX];
    char body[PAD_MAX + 32];
    pthread_t thread;
};

struct crowd {
    const struct cluster *cluster;
    struct crowd_options options;
    uint64_t began_ns;
    atomic_uint nodes;                            /* asked */
    struct member members[CROWD_CLIENTS_MAX + 1]; /* one is the test itself */
    pthread_mutex_t mutex;                        /* over what follows */
    struct history history;
    struct footnote *footnotes;
    uint32_t footnotes_capacity;
    bool stop;
    char failure[1024]; /* an answer that is not as the API has it; "" */
};

uint64_t crowd_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- the record ---- */

static uint32_t record_call(struct member *member, struct operation operation)
{
    struct crowd *crowd = member->crowd;
    uint32_t number;
    uint64_t now = crowd_now_ns(); /* before the lock: the call may not look later than it was */
    pthread_mutex_lock(&crowd->mutex);
    if (operation.kind == OPERATION_SWAP)
        number = history_call_swap(&crowd->history, operation.key, operation.expected,
                                   operation.value, now);
    else
        number = history_call(&crowd->history, operation.kind, operation.key, operation.value, now);
    if (number >= crowd->footnotes_capacity) {
        crowd->footnotes_capacity = number < 512 ? 1024 : 2 * number;
        crowd->footnotes =
            realloc(crowd->footnotes, crowd->footnotes_capacity * sizeof(*crowd->footnotes));
    }
    crowd->footnotes[number] = (struct footnote){.client = (unsigned char)member->number,
                                                 .node = (unsigned char)member->via};
    pthread_mutex_unlock(&crowd->mutex);
    return number;
}

static void record_answer(struct member *member, uint32_t number, enum operation_outcome outcome,
                          uint64_t value, const struct answer *answer)
{
    struct crowd *crowd = member->crowd;
    uint64_t now = crowd_now_ns();
    pthread_mutex_lock(&crowd->mutex);
    struct footnote *footnote = &crowd->footnotes[number];
    footnote->node = (unsigned char)member->session.answered_by;
    footnote->redirects = (unsigned char)member->session.redirects;
    footnote->status = (short)answer->status;
    footnote->curl_code = (unsigned char)answer->curl_code;
    if (answer->status == 200 && answer->etag[0] == '"')
        footnote->revision = strtoull(answer->etag + 1, NULL, 10);
    if (outcome != OPERATION_OPEN)
        history_answer(&crowd->history, number, outcome, value, now);
    pthread_mutex_unlock(&crowd->mutex);
}

static void record_failure(struct member *member, const char *what, const char *target,
                           const struct answer *answer)
{
    struct crowd *crowd = member->crowd;
    pthread_mutex_lock(&crowd->mutex);
    if (!crowd->failure[0])
        snprintf(crowd->failure, sizeof(crowd->failure),
                 "%s: %s at %s: status %d, curl %d, location \"%s\", body \"%.300s\"", what, target,
                 member->session.nodes[member->session.answered_by].id, answer->status,
                 answer->curl_code, answer->location, answer->body);
    pthread_mutex_unlock(&crowd->mutex);
}

/* ---- values on the wire ---- */

/* The value's number, and as many dots as the number says: a mixed-up value is told apart. */
static size_t value_format(const struct crowd *crowd, char *into, uint64_t value)
{
    size_t length = (size_t)sprintf(into, "%" PRIu64, value);
    size_t pad = (size_t)((value * 2654435761u >> 7) % (crowd->options.value_pad_max + 1u));
    memset(into + length, '.', pad);
    into[length + pad] = '\0';
    return length + pad;
}

/* 0: not one of ours. */
static uint64_t value_parse(const struct crowd *crowd, const struct answer *answer)
{
    char expected[PAD_MAX + 32];
    uint64_t value = strtoull(answer->body, NULL, 10);
    size_t length = value_format(crowd, expected, value);
    bool ok = length == answer->body_bytes && !memcmp(expected, answer->body, length);
    return ok ? value : 0;
}

/* ---- one request ---- */

static enum operation_outcome outcome_of(const struct answer *answer)
{
    if (answer->status == 200)
        return OPERATION_DONE;
    if (answer->status == 504 || (answer->status == 0 && answer->sent))
        return OPERATION_OPEN;
    return OPERATION_REFUSED;
}

static bool status_is_allowed(const struct operation *operation, const struct answer *answer)
{
    switch (answer->status) {
    case 0:
    case 200:
    case 307:
    case 503:
        return true;
    case 404:
        return operation->kind == OPERATION_GET;
    case 412:
        return operation->kind == OPERATION_SWAP;
    case 504:
        return operation->kind != OPERATION_GET || strstr(answer->body, "unknown") == NULL;
    default:
        return false;
    }
}

static const char *method_of(const struct operation *operation)
{
    if (operation->kind == OPERATION_GET)
        return "GET";
    return operation->value ? "PUT" : "DELETE";
}

static struct known *known_of(struct member *member, uint32_t key)
{
    return &member->known[key % KNOWN_MAX];
}

static void learn(struct member *member, const struct operation *operation,
                  enum operation_outcome outcome, uint64_t value, const struct answer *answer)
{
    struct known *known = known_of(member, operation->key);
    *known = (struct known){.key = UINT32_MAX};
    if (outcome != OPERATION_DONE || (value && !answer->etag[0]))
        return;
    known->key = operation->key;
    known->value = value;
    strcpy(known->etag, answer->etag);
}

/* A client that was not served tries another node. */
static void choose_node(struct member *member, const struct answer *answer)
{
    bool was_served = answer->status == 200 || answer->status == 404 || answer->status == 412;
    if (was_served && member->crowd->options.only_leader)
        member->via = member->session.answered_by;
    else
        member->via = (unsigned)chance_below(&member->chance, atomic_load(&member->crowd->nodes));
}

static void carry_out(struct member *member, struct operation operation, const char *etag)
{
    char target[64], header[64] = "";
    bool has_body = operation.kind != OPERATION_GET && operation.value;
    size_t bytes = has_body ? value_format(member->crowd, member->body, operation.value) : 0;
    snprintf(target, sizeof(target), "/kv/crowd-%06u", operation.key);
    if (operation.kind == OPERATION_SWAP && operation.expected)
        snprintf(header, sizeof(header), "If-Match: %s", etag);
    else if (operation.kind == OPERATION_SWAP)
        strcpy(header, "If-None-Match: *");
    uint32_t number = record_call(member, operation);
    struct answer answer =
        session_do(&member->session, member->via, method_of(&operation), target,
                   has_body ? member->body : NULL, bytes, header[0] ? header : NULL);
    enum operation_outcome outcome = outcome_of(&answer);
    uint64_t value = operation.value;
    if (operation.kind == OPERATION_GET && answer.status == 200) {
        value = value_parse(member->crowd, &answer);
        if (!value)
            record_failure(member, "a value nobody wrote", target, &answer);
    } else if (operation.kind == OPERATION_GET && answer.status == 404) {
        outcome = OPERATION_DONE;
    } else if (answer.status == 412) {
        outcome = OPERATION_MISSED;
    }
    if (!status_is_allowed(&operation, &answer))
        record_failure(member, "not an answer to expect", target, &answer);
    record_answer(member, number, outcome, value, &answer);
    learn(member, &operation, outcome, value, &answer);
    choose_node(member, &answer);
}

/* ---- a client ---- */

static uint64_t new_value(struct member *member)
{
    return (uint64_t)(member->number + 1) * 10000000u + ++member->values;
}

static uint32_t current_key(struct member *member)
{
    const struct crowd *crowd = member->crowd;
    uint64_t ms = (crowd_now_ns() - crowd->began_ns) / 1000000u;
    uint32_t slot = (uint32_t)chance_below(&member->chance, crowd->options.keys);
    /* Not all at the same moment. */
    uint64_t round =
        (ms + slot * crowd->options.key_ms / crowd->options.keys) / crowd->options.key_ms;
    return (uint32_t)round * crowd->options.keys + slot;
}

static void take_turn(struct member *member)
{
    uint32_t key = current_key(member);
    unsigned die = (unsigned)chance_below(&member->chance, 100);
    const struct known *known = known_of(member, key);
    bool is_known = known->key == key;
    char etag[32] = "";
    struct operation operation = {.key = key};
    if (die < 40 || (die >= 70 && !is_known)) {
        operation.kind = OPERATION_GET;
    } else if (die < 65) {
        operation.kind = OPERATION_PUT;
        operation.value = new_value(member);
    } else if (die < 70) {
        operation.kind = OPERATION_PUT; /* a delete */
    } else {
        operation.kind = OPERATION_SWAP;
        operation.expected = known->value;
        operation.value = die < 95 || !known->value ? new_value(member) : 0;
        strcpy(etag, known->etag);
    }
    carry_out(member, operation, etag);
}

static bool is_over(struct crowd *crowd)
{
    pthread_mutex_lock(&crowd->mutex);
    bool stop = crowd->stop || crowd->failure[0];
    pthread_mutex_unlock(&crowd->mutex);
    return stop;
}

static void *member_run(void *context)
{
    struct member *member = context;
    while (!is_over(member->crowd)) {
        take_turn(member);
        usleep(member->crowd->options.pace_us);
    }
    return NULL;
}

static void member_open(struct crowd *crowd, unsigned number)
{
    struct member *member = &crowd->members[number];
    member->crowd = crowd;
    member->number = number;
    member->chance.state = crowd->options.seed + number * 7919u;
    member->via = number % atomic_load(&crowd->nodes);
    memset(member->known, 0xff, sizeof(member->known));
    unsigned patience_ms = crowd->options.timeout_ms * (number % 4 == 0 ? CROWD_PATIENCE : 1);
    session_open(&member->session, crowd->cluster->nodes, &crowd->cluster->count, patience_ms);
}

struct crowd *crowd_start(const struct cluster *cluster, const struct crowd_options *options)
{
    struct crowd *crowd = calloc(1, sizeof(*crowd));
    crowd->cluster = cluster;
    crowd->options = *options;
    struct crowd_options *o = &crowd->options;
    atomic_store(&crowd->nodes, o->nodes ? o->nodes : cluster->count);
    o->clients = o->clients ? o->clients : 16;
    o->keys = o->keys ? o->keys : 8;
    o->key_ms = o->key_ms ? o->key_ms : 2000;
    o->pace_us = o->pace_us ? o->pace_us : 4000;
    o->timeout_ms = o->timeout_ms ? o->timeout_ms : 1500;
    o->value_pad_max = o->value_pad_max ? o->value_pad_max : 200;
    ck_assert(o->clients <= CROWD_CLIENTS_MAX && o->keys <= KNOWN_MAX &&
              o->value_pad_max <= PAD_MAX);
    crowd->began_ns = crowd_now_ns();
    ck_assert_int_eq(pthread_mutex_init(&crowd->mutex, NULL), 0);
    ck_assert_int_eq(curl_global_init(CURL_GLOBAL_DEFAULT), 0);
    for (unsigned i = 0; i < o->clients; i++) {
        member_open(crowd, i);
        ck_assert_int_eq(
            pthread_create(&crowd->members[i].thread, NULL, member_run, &crowd->members[i]), 0);
    }
    return crowd;
}

void crowd_ask(struct crowd *crowd, unsigned nodes)
{
    atomic_store(&crowd->nodes, nodes);
}

void crowd_stop(struct crowd *crowd)
{
    pthread_mutex_lock(&crowd->mutex);
    crowd->stop = true;
    pthread_mutex_unlock(&crowd->mutex);
    for (unsigned i = 0; i < crowd->options.clients; i++) {
        pthread_join(crowd->members[i].thread, NULL);
        session_close(&crowd->members[i].session);
    }
}

static uint32_t keys_count(const struct crowd *crowd)
{
    uint32_t keys = 0;
    for (uint32_t i = 0; i < crowd->history.count; i++)
        if (crowd->history.operations[i].key >= keys)
            keys = crowd->history.operations[i].key + 1;
    return keys;
}

void crowd_read_all(struct crowd *crowd)
{
    struct member *member = &crowd->members[crowd->options.clients];
    uint32_t keys = keys_count(crowd);
    member_open(crowd, crowd->options.clients);
    for (uint32_t key = 0; key < keys; key++)
        carry_out(member, (struct operation){.kind = OPERATION_GET, .key = key}, "");
    session_close(&member->session);
}

void crowd_free(struct crowd *crowd)
{
    pthread_mutex_destroy(&crowd->mutex);
    history_free(&crowd->history);
    free(crowd->footnotes);
    free(crowd);
}

/* ---- the verdict ---- */

static void print_footnote(void *context, uint32_t number, FILE *file)
{
    const struct crowd *crowd = context;
    const struct footnote *footnote = &crowd->footnotes[number];
    fprintf(file, "  client %u, %s", footnote->client, crowd->cluster->nodes[footnote->node].id);
    if (footnote->redirects)
        fprintf(file, " (redirected)");
    if (footnote->status || footnote->curl_code)
        fprintf(file, ", %d", footnote->status);
    if (footnote->curl_code)
        fprintf(file, " curl %u", footnote->curl_code);
    if (footnote->revision)
        fprintf(file, ", revision %" PRIu64, footnote->revision);
}

static void fail_with_key(struct crowd *crowd, const struct history_finding *finding,
                          const char *what)
{
    fprintf(stderr, "---- %s: key crowd-%06u, times in ms:\n", what, finding->key);
    history_print(&crowd->history, finding, 1000000, print_footnote, crowd, stderr);
    fprintf(stderr, "----\n");
    cluster_fail(crowd->cluster, __FILE__, __LINE__, what);
}

struct written {
    uint64_t value, revision;
    uint32_t operation;
};

static int compare_written(const void *a, const void *b)
{
    const struct written *x = a, *y = b;
    return (x->value > y->value) - (x->value < y->value);
}

/* A value has one revision, whoever says it. */
static void check_revisions(struct crowd *crowd)
{
    uint32_t count = 0;
    struct written *all = calloc(crowd->history.count + 1u, sizeof(*all));
    for (uint32_t i = 0; i < crowd->history.count; i++) {
        const struct operation *operation = &crowd->history.operations[i];
        if (operation->outcome == OPERATION_DONE && operation->value)
            all[count++] = (struct written){operation->value, crowd->footnotes[i].revision, i};
    }
    qsort(all, count, sizeof(*all), compare_written);
    for (uint32_t i = 1; i < count; i++)
        if (all[i].value == all[i - 1].value && all[i].revision != all[i - 1].revision) {
            struct history_finding finding = {.key =
                                                  crowd->history.operations[all[i].operation].key,
                                              .operation = all[i].operation};
            fail_with_key(crowd, &finding, "one value under two revisions");
        }
    free(all);
}

static void print_tally(const struct crowd *crowd, uint32_t keys)
{
    static const char *const kinds[] = {"", "puts and deletes", "gets", "swaps"};
    unsigned counts[4][4] = {{0}}, unavailable = 0;
    for (uint32_t i = 0; i < crowd->history.count; i++) {
        const struct operation *operation = &crowd->history.operations[i];
        counts[operation->kind][operation->outcome]++;
        unavailable += crowd->footnotes[i].status == 503;
    }
    fprintf(stderr, "%u operations on %u keys", crowd->history.count, keys);
    for (unsigned kind = OPERATION_PUT; kind <= OPERATION_SWAP; kind++)
        fprintf(stderr, "; %s: %u done, %u refused, %u unknown", kinds[kind],
                counts[kind][OPERATION_DONE] + counts[kind][OPERATION_MISSED],
                counts[kind][OPERATION_REFUSED], counts[kind][OPERATION_OPEN]);
    fprintf(stderr, "; %u x 503\n", unavailable);
}

void crowd_check(struct crowd *crowd)
{
    struct history_finding finding;
    uint32_t keys = keys_count(crowd);
    print_tally(crowd, keys);
    if (crowd->failure[0])
        cluster_fail(crowd->cluster, __FILE__, __LINE__, crowd->failure);
    check_revisions(crowd);
    uint64_t began_ms = now_ms();
    if (!history_is_linearizable(&crowd->history, keys, &finding))
        fail_with_key(crowd, &finding, "no order of effects explains what clients saw");
    fprintf(stderr, "linearizable (searched %" PRIu64 " ms)\n", now_ms() - began_ms);
}

/* ---- figures ---- */

static bool is_acknowledged_write(const struct operation *operation)
{
    return operation->kind != OPERATION_GET && operation->outcome == OPERATION_DONE;
}

unsigned crowd_writes_since(struct crowd *crowd, uint64_t since_ns)
{
    unsigned count = 0;
    pthread_mutex_lock(&crowd->mutex);
    bool has_failed = crowd->failure[0];
    for (uint32_t i = crowd->history.count; i > 0; i--) {
        const struct operation *operation = &crowd->history.operations[i - 1];
        if (operation->called_at + 1000000000u < since_ns)
            break; /* calls are nearly in order */
        count += operation->called_at >= since_ns && is_acknowledged_write(operation);
    }
    pthread_mutex_unlock(&crowd->mutex);
    if (has_failed) /* the clients have stopped: nothing would come */
        cluster_fail(crowd->cluster, __FILE__, __LINE__, crowd->failure);
    return count;
}

static int compare_numbers(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* When writes were answered (or how long they took) between the moments, sorted; the caller's. */
static uint64_t *collect(struct crowd *crowd, uint64_t from_ns, uint64_t to_ns, bool wants_latency,
                         unsigned *ret_count)
{
    unsigned count = 0;
    pthread_mutex_lock(&crowd->mutex);
    uint64_t *numbers = calloc(crowd->history.count + 2u, sizeof(*numbers));
    for (uint32_t i = 0; i < crowd->history.count; i++) {
        const struct operation *operation = &crowd->history.operations[i];
        if (is_acknowledged_write(operation) && operation->answered_at >= from_ns &&
            operation->answered_at <= to_ns)
            numbers[count++] = wants_latency ? operation->answered_at - operation->called_at
                                             : operation->answered_at;
    }
    pthread_mutex_unlock(&crowd->mutex);
    qsort(numbers, count, sizeof(*numbers), compare_numbers);
    *ret_count = count;
    return numbers;
}

unsigned crowd_longest_gap_ms(struct crowd *crowd, uint64_t from_ns, uint64_t to_ns)
{
    unsigned count;
    uint64_t *moments = collect(crowd, from_ns, to_ns, false, &count);
    uint64_t last = from_ns, longest = 0;
    moments[count++] = to_ns;
    for (unsigned i = 0; i < count; i++) {
        longest = moments[i] - last > longest ? moments[i] - last : longest;
        last = moments[i];
    }
    free(moments);
    return (unsigned)(longest / 1000000u);
}

double crowd_write_ms(struct crowd *crowd, uint64_t from_ns, uint64_t to_ns, double share,
                      unsigned *ret_count)
{
    uint64_t *latencies = collect(crowd, from_ns, to_ns, true, ret_count);
    unsigned place = *ret_count ? (unsigned)(share * (*ret_count - 1)) : 0;
    double ms = (double)latencies[place] / 1e6;
    free(latencies);
    return ms;
}
