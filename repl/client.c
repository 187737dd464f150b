#include "client.h"

#include "clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* A call on its way. */
struct attempt {
    struct client *client;
    const struct client_request *request;
    uint64_t until_ms;
    struct error *error;
};

int client_open(struct client *client, const volatile sig_atomic_t *interrupted)
{
    *client = (struct client){.exchange = exchange_new(interrupted)};
    return client->exchange ? 0 : -ENOMEM;
}

void client_close(struct client *client)
{
    exchange_free(client->exchange);
    buffer_free(&client->answer.body);
}

static bool is_redirect(const struct exchange_answer *answer)
{
    return (answer->status == 307 || answer->status == 308) && answer->location[0];
}

/* One exchange within the time left. With no time left nothing is sent. */
static enum outcome attempt_exchange(struct attempt *attempt, const char *url)
{
    uint64_t now_ms = clock_monotonic_ms();
    if (now_ms >= attempt->until_ms) {
        (void)error_set(attempt->error, 0, "no answer in time");
        return OUTCOME_NOT_SENT;
    }
    struct exchange_request one = {
        .method = attempt->request->method,
        .url = url,
        .body = attempt->request->body,
        .body_bytes = attempt->request->body_bytes,
        .is_write = attempt->request->is_write,
        .timeout_ms = attempt->until_ms - now_ms,
    };
    return exchange_run(attempt->client->exchange, &one, &attempt->client->answer, attempt->error);
}

/* Asks one server, and whom it sends us to. A redirect says that nothing was applied, so to follow
 * it sends nothing twice. */
static enum outcome attempt_server(struct attempt *attempt, const char *server)
{
    char url[REPL_URL_BYTES_MAX], next[REPL_URL_BYTES_MAX];
    struct exchange_answer *answer = &attempt->client->answer;
    int length = snprintf(url, sizeof(url), "%s%s", server, attempt->request->path);
    if (length < 0 || (size_t)length >= sizeof(url)) {
        (void)error_set(attempt->error, 0, "the key is too long for a URL");
        return OUTCOME_TOO_LARGE;
    }
    for (unsigned redirects = 0; redirects <= REPL_REDIRECTS_MAX; redirects++) {
        enum outcome outcome = attempt_exchange(attempt, url);
        if (outcome != OUTCOME_ANSWERED || !is_redirect(answer))
            return outcome;
        if (url_resolve(url, answer->location, next)) {
            (void)error_set(attempt->error, 0, "%s: redirected to a bad URL", server);
            return OUTCOME_NOT_SENT;
        }
        strcpy(url, next);
    }
    (void)error_set(attempt->error, 0, "%s: redirected too often", server);
    return OUTCOME_NOT_SENT;
}

static enum client_result result_of(enum outcome outcome, enum outcome_verdict verdict)
{
    static const enum client_result results[] = {
        [OUTCOME_ANSWERED] = CLIENT_ANSWERED,  [OUTCOME_NOT_SENT] = CLIENT_UNAVAILABLE,
        [OUTCOME_BROKEN] = CLIENT_UNAVAILABLE, [OUTCOME_INTERRUPTED] = CLIENT_INTERRUPTED,
        [OUTCOME_TOO_LARGE] = CLIENT_FAILED,
    };
    return verdict == VERDICT_UNKNOWN ? CLIENT_UNKNOWN : results[outcome];
}

/* The place in the list to begin at: the server that answered last. */
static unsigned first_server(const struct client *client, const struct url_servers *servers)
{
    for (unsigned i = 0; i < servers->count; i++)
        if (!strcmp(servers->urls[i], client->preferred))
            return i;
    return 0;
}

enum client_result client_call(struct client *client, const struct client_request *request,
                               struct error *error)
{
    struct attempt attempt = {.client = client,
                              .request = request,
                              .until_ms = clock_monotonic_ms() + request->timeout_ms,
                              .error = error};
    const struct url_servers *servers = request->servers;
    unsigned first = first_server(client, servers);
    enum outcome outcome = OUTCOME_NOT_SENT;
    enum outcome_verdict verdict = VERDICT_NEXT;
    for (unsigned i = 0; i < servers->count && verdict == VERDICT_NEXT; i++) {
        const char *server = servers->urls[(first + i) % servers->count];
        outcome = attempt_server(&attempt, server);
        verdict = outcome_judge(outcome, client->answer.status, request->is_write);
        if (verdict == VERDICT_DONE && outcome == OUTCOME_ANSWERED)
            strcpy(client->preferred, server);
    }
    return result_of(outcome, verdict);
}
