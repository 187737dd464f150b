#include "load.h"

#include "client.h"

#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_t threads[LOAD_CLIENTS];
static uint64_t began_ms;

static void load_fail(struct load *load, const char *what, const struct record_pair *pair,
                      const struct answer *answer)
{
    pthread_mutex_lock(&mutex);
    if (!load->failure[0])
        snprintf(load->failure, sizeof(load->failure),
                 "%s: key %s: status %d, curl %d, %llu ms, body %.100s", what, pair->key,
                 answer->status, answer->curl_code, (unsigned long long)answer->ms, answer->body);
    load->stop = true;
    pthread_mutex_unlock(&mutex);
}

/* True if the request is to be sent again. */
static bool load_wants_retry(struct load *load, const struct answer *answer)
{
    bool again = answer->status == 503 || answer->status == 504 || answer->status == 0;
    pthread_mutex_lock(&mutex);
    load->retries_503 += answer->status == 503;
    load->outcomes_504 += answer->status == 504;
    load->broken += answer->status == 0;
    pthread_mutex_unlock(&mutex);
    return again && load->retry;
}

static struct answer load_send(struct load *load, struct client *client, unsigned i, char **value)
{
    const struct record_pair *pair = &load->records->pairs[i];
    char target[1024];
    key_target(target, sizeof(target), pair->key, strlen(pair->key));
    if (load->kind == LOAD_CHECK)
        return client_do(client, "GET", target, NULL, 0, NULL);
    if (load->kind == LOAD_DELETE)
        return client_do(client, "DELETE", target, NULL, 0, NULL);
    if (!load->attempts)
        return client_do(client, "PUT", target, pair->value, pair->value_bytes, NULL);
    *value = realloc(*value, pair->value_bytes + 32);
    int head = sprintf(*value, "%u\n", ++load->attempts[i]);
    memcpy(*value + head, pair->value, pair->value_bytes);
    return client_do(client, "PUT", target, *value, pair->value_bytes + (size_t)head, NULL);
}

/* With attempts: the acknowledged one, or a later one whose outcome was unknown when it was
 * overtaken; there is none, since a client goes on only when it is answered. */
static bool value_is_right(const struct load *load, unsigned i, const struct answer *answer)
{
    const struct record_pair *pair = &load->records->pairs[i];
    const char *body = answer->body;
    size_t bytes = answer->body_bytes;
    if (load->acked) {
        char head[16];
        size_t length = (size_t)snprintf(head, sizeof(head), "%u\n", load->acked[i]);
        if (bytes < length || memcmp(body, head, length))
            return false;
        body += length;
        bytes -= length;
    }
    return bytes == pair->value_bytes && !memcmp(body, pair->value, bytes);
}

static void load_one(struct load *load, struct client *client, unsigned i, char **value)
{
    const struct record_pair *pair = &load->records->pairs[i];
    for (;;) {
        struct answer answer = load_send(load, client, i, value);
        pthread_mutex_lock(&mutex);
        if (answer.ms > load->ms_max)
            load->ms_max = answer.ms;
        bool stop = load->stop;
        pthread_mutex_unlock(&mutex);
        bool gone = load->kind == LOAD_CHECK && load->deleted && load->deleted[i];
        if (answer.ms >= LOAD_REQUEST_MS_MAX) {
            load_fail(load, "a request hung past its deadline", pair, &answer);
            return;
        }
        if (answer.status == (gone ? 404 : 200)) {
            if (load->kind == LOAD_CHECK && !gone && !value_is_right(load, i, &answer))
                load_fail(load, "another value than acknowledged", pair, &answer);
            if (load->kind == LOAD_PUT && load->acked)
                load->acked[i] = load->attempts[i];
            return;
        }
        if (!load_wants_retry(load, &answer)) {
            load_fail(load, "not the answer expected", pair, &answer);
            return;
        }
        if (stop)
            return;
        usleep(20000);
    }
}

static void load_progress(struct load *load)
{
    load->done++;
    if (load->done % 10000 == 0 || load->done == load->records->count)
        fprintf(stderr, "%s: %u of %zu, %.0f/s\n", load->title, load->done, load->records->count,
                1000.0 * load->done / (double)(now_ms() - began_ms + 1));
}

static void *load_thread(void *context)
{
    struct load *load = context;
    struct client *client = client_new(load->node->url, LOAD_REQUEST_MS_MAX);
    char *value = NULL;
    for (;;) {
        pthread_mutex_lock(&mutex);
        unsigned i = load->next++;
        bool stop = load->stop || i >= load->records->count;
        pthread_mutex_unlock(&mutex);
        if (stop)
            break;
        if (load->rate_max)
            usleep(1000000u * LOAD_CLIENTS / load->rate_max);
        if (load->kind != LOAD_DELETE || load->deleted[i])
            load_one(load, client, i, &value);
        pthread_mutex_lock(&mutex);
        load_progress(load);
        pthread_mutex_unlock(&mutex);
    }
    free(value);
    client_free(client);
    return NULL;
}

void load_start(struct load *load)
{
    began_ms = now_ms();
    for (unsigned i = 0; i < LOAD_CLIENTS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, load_thread, load), 0);
}

void load_wait(struct load *load)
{
    for (unsigned i = 0; i < LOAD_CLIENTS; i++)
        pthread_join(threads[i], NULL);
    load->ms = now_ms() - began_ms + 1;
    if (load->failure[0])
        node_fail(load->node, __FILE__, __LINE__, load->failure);
}

void load_run(struct load *load)
{
    load_start(load);
    load_wait(load);
}
