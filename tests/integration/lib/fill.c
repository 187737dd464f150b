#include "fill.h"

#include <check.h>
#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILL_CLIENTS 24u
#define FILL_TRIES_MAX 400u /* of one key, 5 ms apart at least */
#define FILL_REQUEST_MS_MAX 10000u

struct filler {
    const struct cluster *cluster;
    const struct fill *fill;
    unsigned leader;
    atomic_uint next, failed; /* `failed`: the status of an answer that stopped it, or 1000 */
};

static void value_make(char *into, const struct fill *fill, unsigned number)
{
    unsigned state = number * 2654435761u + 1;
    for (unsigned i = 0; i < fill->value_bytes; i++) {
        state = state * 1103515245u + 12345u;
        into[i] = (char)('a' + (state >> 16) % 26);
    }
}

static int put_one(struct filler *filler, struct session *session, char *value, unsigned number,
                   unsigned *via)
{
    struct answer answer = {0};
    char target[32];
    snprintf(target, sizeof(target), "/kv/fill-%u", number);
    value_make(value, filler->fill, number);
    for (unsigned tries = 0; tries < FILL_TRIES_MAX; tries++) {
        answer = session_do(session, *via, "PUT", target, value, filler->fill->value_bytes, NULL);
        if (answer.status == 200) {
            *via = session->answered_by;
            return 0;
        }
        if (answer.status != 0 && answer.status != 503 && answer.status != 504)
            break;
        *via = (*via + 1) % filler->cluster->count;
        node_pause();
    }
    return answer.status ? answer.status : 1000;
}

static void *filler_run(void *context)
{
    struct filler *filler = context;
    struct session session;
    unsigned via = filler->leader;
    char *value = malloc(filler->fill->value_bytes + 1);
    session_open(&session, filler->cluster->nodes, &filler->cluster->count, FILL_REQUEST_MS_MAX);
    for (unsigned number; (number = atomic_fetch_add(&filler->next, 1)) < filler->fill->count &&
                          !atomic_load(&filler->failed);) {
        int failed = put_one(filler, &session, value, number, &via);
        if (failed)
            atomic_store(&filler->failed, (unsigned)failed);
    }
    session_close(&session);
    free(value);
    return NULL;
}

void fill_put(struct cluster *cluster, const struct fill *fill)
{
    pthread_t threads[FILL_CLIENTS];
    struct filler filler = {.cluster = cluster, .fill = fill};
    uint64_t began_ms = now_ms();
    filler.leader = cluster_wait_leader(cluster, CLUSTER_NONE, CLUSTER_SETTLE_MS);
    ck_assert_int_eq(curl_global_init(CURL_GLOBAL_DEFAULT), 0);
    for (unsigned i = 0; i < FILL_CLIENTS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, filler_run, &filler), 0);
    for (unsigned i = 0; i < FILL_CLIENTS; i++)
        pthread_join(threads[i], NULL);
    if (atomic_load(&filler.failed))
        fprintf(stderr, "a PUT was answered %u\n", atomic_load(&filler.failed));
    CLUSTER_CHECK(cluster, atomic_load(&filler.failed) == 0);
    double seconds = (double)(now_ms() - began_ms + 1) / 1000;
    fprintf(stderr, "%u keys of %u bytes in %.1f s, %.0f/s\n", fill->count, fill->value_bytes,
            seconds, fill->count / seconds);
}

void fill_check(struct cluster *cluster, const struct fill *fill, unsigned node, unsigned step)
{
    char target[64];
    char *value = malloc(fill->value_bytes + 1);
    for (unsigned number = 0; number < fill->count; number += step) {
        snprintf(target, sizeof(target), "/kv/fill-%u?stale=true", number);
        value_make(value, fill, number);
        struct answer answer = session_ask(&cluster->session, node, "GET", target, NULL, 0, NULL);
        if (answer.status != 200 || answer.body_bytes != fill->value_bytes ||
            memcmp(answer.body, value, fill->value_bytes)) {
            fprintf(stderr, "%s at %s: %d, %zu bytes\n", target, cluster->nodes[node].id,
                    answer.status, answer.body_bytes);
            cluster_fail(cluster, __FILE__, __LINE__, "a key is not what was put");
        }
    }
    free(value);
}
