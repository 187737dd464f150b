/* Transactions on a real node: all or nothing, seen by everyone at once, also while daemons die. */
#include "../unit/unit.h"

#include "lib/client.h"
#include "lib/node.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ACCOUNTS = 10, BALANCE = 1000, CLIENTS = 4 };

static struct node node;
static atomic_bool stop;

static struct answer txn(struct client *client, const char *body)
{
    return client_do(client, "POST", "/txn", body, strlen(body), NULL);
}

/* ---- the contract ---- */

static const struct {
    const char *body;
    int status;
    const char *part;
} rows[] = {
    {"{\"if\":[{\"key\":\"k\",\"exists\":false}],\"then\":[{\"put\":{\"key\":\"k\",\"value\":\"v\"}"
     "},"
     "{\"put\":{\"key\":\"l\",\"value\":\"w\"}}]}",
     200, "{\"succeeded\":true,\"revision\":"},
    {"{\"if\":[{\"key\":\"k\",\"value\":\"v\"},{\"key\":\"l\",\"exists\":true}],\"then\":["
     "{\"get\":{\"key\":\"k\"}},{\"delete\":{\"key\":\"l\"}},{\"get\":{\"key\":\"l\"}}]}",
     200, "{\"delete\":{\"existed\":true}},{\"get\":{\"key\":\"l\",\"exists\":false}}]}\n"},
    {"{\"if\":[{\"key\":\"k\",\"revision\":1}],\"then\":[{\"put\":{\"key\":\"k\",\"value\":\"x\"}}]"
     ","
     "\"else\":[{\"get\":{\"key\":\"k\"}}]}",
     200, "{\"succeeded\":false,\"revision\":"},
    {"{\"then\":[{\"get\":{\"key\":\"k\"}}]}", 200,
     "\"exists\":true,\"value\":\"v\",\"revision\":"},
    {"{\"then\":[{\"put\":{\"key\":\"k\"}}]}", 400, "then[0].put: want a value"},
    {"no JSON", 400, "want a JSON object"},
};

static char large[1100000];

START_TEST(test_txn_keeps_the_contract)
{
    node_new(&node, NULL);
    node_start(&node);
    struct client *client = client_new(node.url, 10000);
    for (unsigned i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct answer answer = txn(client, rows[i].body);
        ck_assert_msg(answer.status == rows[i].status && strstr(answer.body, rows[i].part),
                      "%s: %d %s", rows[i].body, answer.status, answer.body);
        ck_assert_str_eq(answer.content_type,
                         rows[i].status == 200 ? "application/json" : "application/problem+json");
        ck_assert_int_eq(answer.revision[0] != '\0', rows[i].status == 200);
    }
    /* a value over the limit: nothing is stored */
    size_t length =
        (size_t)sprintf(large, "{\"then\":[{\"put\":{\"key\":\"small\",\"value\":\"1\"}},"
                               "{\"put\":{\"key\":\"big\",\"value\":\"");
    memset(large + length, 'v', (1 << 20) + 1);
    strcpy(large + length + (1 << 20) + 1, "\"}}]}");
    ck_assert_int_eq(txn(client, large).status, 413);
    ck_assert_int_eq(client_do(client, "GET", "/kv/small", NULL, 0, NULL).status, 404);
    strcpy(large + length + (1 << 20), "\"}}]}");
    ck_assert_int_eq(txn(client, large).status, 200);
    ck_assert_int_eq(client_do(client, "GET", "/kv/small", NULL, 0, NULL).status, 200);
    ck_assert_int_eq(client_do(client, "GET", "/txn", NULL, 0, NULL).status, 405);
    client_free(client);
    node_free(&node);
}
END_TEST

START_TEST(test_txn_of_1024_operations)
{
    node_new(&node, NULL);
    node_start(&node);
    struct client *client = client_new(node.url, 30000);
    for (unsigned count = 1024; count <= 1025; count++) {
        size_t length = (size_t)sprintf(large, "{\"then\":[");
        for (unsigned i = 0; i < count; i++)
            length +=
                (size_t)sprintf(large + length, "%s{\"put\":{\"key\":\"%u-%u\",\"value\":\"\"}}",
                                i ? "," : "", count, i);
        strcpy(large + length, "]}");
        ck_assert_int_eq(txn(client, large).status, count == 1024 ? 200 : 413);
    }
    struct answer answer = client_do(client, "GET", "/kv?prefix=&count_only=1", NULL, 0, NULL);
    ck_assert_msg(strstr(answer.body, "{\"count\":1024,"), "%s", answer.body);
    client_free(client);
    node_free(&node);
}
END_TEST

/* ---- money ---- */

struct account {
    long balance;
    unsigned long long revision;
};

/* Reads what the gets found, in order. */
static unsigned read_accounts(const char *body, struct account *accounts)
{
    unsigned count = 0;
    for (const char *at = body; (at = strstr(at, "\"value\":\"")); at++, count++)
        if (sscanf(at, "\"value\":\"%ld\",\"revision\":%llu", &accounts[count].balance,
                   &accounts[count].revision) != 2)
            break;
    return count;
}

static void transfer(struct client *client, unsigned from, unsigned to, long amount)
{
    char text[1024];
    struct account accounts[2];
    snprintf(text, sizeof(text),
             "{\"then\":[{\"get\":{\"key\":\"a%u\"}},{\"get\":{\"key\":\"a%u\"}}]}", from, to);
    struct answer answer = txn(client, text);
    if (answer.status != 200)
        return;
    ck_assert_uint_eq(read_accounts(answer.body, accounts), 2);
    snprintf(text, sizeof(text),
             "{\"if\":[{\"key\":\"a%u\",\"revision\":%llu},{\"key\":\"a%u\",\"revision\":%llu}],"
             "\"then\":[{\"put\":{\"key\":\"a%u\",\"value\":\"%ld\"}},"
             "{\"put\":{\"key\":\"a%u\",\"value\":\"%ld\"}}]}",
             from, accounts[0].revision, to, accounts[1].revision, from,
             accounts[0].balance - amount, to, accounts[1].balance + amount);
    (void)txn(client, text); /* whatever becomes of it: all of it, or nothing */
}

static void *transfer_on(void *context)
{
    unsigned seed = (unsigned)(uintptr_t)context;
    struct client *client = client_new(node.url, 10000);
    while (!stop) {
        unsigned from = (unsigned)rand_r(&seed) % ACCOUNTS;
        unsigned to = (from + 1 + (unsigned)rand_r(&seed) % (ACCOUNTS - 1)) % ACCOUNTS;
        transfer(client, from, to, rand_r(&seed) % 100);
    }
    client_free(client);
    return NULL;
}

/* Nobody ever sees money in between. */
static unsigned check_sum(struct client *client, bool by_scan)
{
    static char gets[2048];
    struct account accounts[ACCOUNTS] = {{0}};
    size_t length = (size_t)sprintf(gets, "{\"then\":[");
    for (unsigned i = 0; i < ACCOUNTS; i++)
        length += (size_t)sprintf(gets + length, "%s{\"get\":{\"key\":\"a%u\"}}", i ? "," : "", i);
    strcpy(gets + length, "]}");
    struct answer answer =
        by_scan ? client_do(client, "GET", "/kv?prefix=a", NULL, 0, NULL) : txn(client, gets);
    if (answer.status != 200 || answer.curl_code)
        return 0;
    long sum = 0;
    ck_assert_uint_eq(read_accounts(answer.body, accounts), ACCOUNTS);
    for (unsigned i = 0; i < ACCOUNTS; i++)
        sum += accounts[i].balance;
    ck_assert_msg(sum == (long)ACCOUNTS * BALANCE, "%ld in %s", sum, answer.body);
    return 1;
}

START_TEST(test_txn_money_is_conserved_while_daemons_die)
{
    static const char *const daemons[] = {"storaged", "raftd", "httpd"};
    pthread_t threads[CLIENTS];
    unsigned seen = 0;
    node_new(&node, NULL);
    node_start(&node);
    struct client *client = client_new(node.url, 10000);
    for (unsigned i = 0; i < ACCOUNTS; i++) {
        char target[16];
        snprintf(target, sizeof(target), "/kv/a%u", i);
        ck_assert_int_eq(client_do(client, "PUT", target, "1000", 4, NULL).status, 200);
    }
    for (uintptr_t i = 0; i < CLIENTS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, transfer_on, (void *)(i + 1)), 0);
    for (unsigned blow = 0; blow < 9; blow++) {
        uint64_t until_ms = now_ms() + 500;
        while (now_ms() < until_ms)
            seen += check_sum(client, seen % 2);
        pid_t pid = node_daemon_pid(&node, daemons[blow % 3]);
        if (pid > 0)
            (void)kill(pid, SIGKILL);
        NODE_WAIT(&node, node_is_ready(&node), 30000);
    }
    stop = true;
    for (unsigned i = 0; i < CLIENTS; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    ck_assert_uint_ge(seen, 50);
    ck_assert_uint_eq(check_sum(client, false) + check_sum(client, true), 2);
    client_free(client);
    node_free(&node);
}
END_TEST

/* ---- results that fill many answers ---- */

static atomic_uint answered;

static void *get_large(void *context)
{
    char text[256];
    struct client *client = client_new(node.url, 30000);
    (void)context;
    for (unsigned i = 0; i < 30; i++) {
        snprintf(
            text, sizeof(text),
            "{\"then\":[{\"get\":{\"key\":\"large\"}},{\"put\":{\"key\":\"n%p\",\"value\":\"%u\"}},"
            "{\"get\":{\"key\":\"n%p\"}}]}",
            (void *)client, i, (void *)client);
        struct answer answer = txn(client, text);
        ck_assert_msg(answer.status == 200, "%d %.200s", answer.status, answer.body);
        ck_assert_uint_gt(answer.body_bytes, 300000);
        snprintf(text, sizeof(text), "\"exists\":true,\"value\":\"%u\",", i);
        ck_assert_ptr_nonnull(strstr(answer.body + 300000, text));
        answered++;
    }
    client_free(client);
    return NULL;
}

START_TEST(test_txn_large_results_are_all_given)
{
    enum { GETTERS = 16 };
    pthread_t threads[GETTERS];
    node_new(&node, NULL);
    node_start(&node);
    struct client *client = client_new(node.url, 30000);
    memset(large, 'v', 300000);
    ck_assert_int_eq(client_do(client, "PUT", "/kv/large", large, 300000, NULL).status, 200);
    for (unsigned i = 0; i < GETTERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, get_large, NULL), 0);
    for (unsigned i = 0; i < GETTERS; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    ck_assert_uint_eq(answered, GETTERS * 30);
    client_free(client);
    node_free(&node);
}
END_TEST

UNIT_MAIN_WITHIN(200, "txn", test_txn_keeps_the_contract, test_txn_of_1024_operations,
                 test_txn_money_is_conserved_while_daemons_die,
                 test_txn_large_results_are_all_given)
