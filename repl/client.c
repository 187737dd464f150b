#include "client.h"

#include "clock.h"

#include <cjson/cJSON.h>
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

/* ---- whom a server sends us to ---- */

/* A node in follower_mode conflict does not redirect, but it names the leader. */
static void append_leader_url(const struct exchange_answer *answer, struct buffer *into)
{
    cJSON *problem = cJSON_ParseWithLength((const char *)answer->body.bytes, answer->body.length);
    const char *url = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(problem, "leader_url"));
    if (url)
        buffer_append(into, url, strlen(url));
    cJSON_Delete(problem);
}

/* Where the answer sends us, or nothing. */
static void find_next(const struct exchange_answer *answer, const char *path, struct buffer *into)
{
    if (answer->status == 307 || answer->status == 308)
        buffer_append(into, answer->location, strlen(answer->location));
    else if (answer->status == 409)
        append_leader_url(answer, into);
    if (answer->status == 409 && into->length > 0)
        buffer_append(into, path, strlen(path));
    if (into->length > 0)
        buffer_append(into, "", 1);
}

/* Changes `url` to what the answer sends us to. False: to nobody. -EINVAL in *ret_code: to a bad
 * URL. */
static bool follow(const struct attempt *attempt, char url[REPL_URL_BYTES_MAX], int *ret_code)
{
    char next[REPL_URL_BYTES_MAX];
    struct buffer location = {0};
    find_next(&attempt->client->answer, attempt->request->path, &location);
    bool is_sent_on = location.length > 0;
    *ret_code = is_sent_on ? url_resolve(url, (const char *)location.bytes, next) : 0;
    if (is_sent_on && !*ret_code)
        strcpy(url, next);
    buffer_free(&location);
    return is_sent_on;
}

/* ---- asking ---- */

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
        .header = attempt->request->header,
        .take = attempt->request->take,
        .take_context = attempt->request->take_context,
    };
    return exchange_run(attempt->client->exchange, &one, &attempt->client->answer, attempt->error);
}

/* Asks one server, and whom it sends us to. Being sent on says that nothing was applied, so to
 * follow sends nothing twice. */
static enum outcome attempt_server(struct attempt *attempt, const char *server)
{
    char url[REPL_URL_BYTES_MAX];
    int code;
    int length = snprintf(url, sizeof(url), "%s%s", server, attempt->request->path);
    if (length < 0 || (size_t)length >= sizeof(url)) {
        (void)error_set(attempt->error, 0, "the key is too long for a URL");
        return OUTCOME_TOO_LARGE;
    }
    for (unsigned redirects = 0; redirects <= REPL_REDIRECTS_MAX; redirects++) {
        enum outcome outcome = attempt_exchange(attempt, url);
        if (outcome != OUTCOME_ANSWERED || !follow(attempt, url, &code))
            return outcome;
        if (code) {
            (void)error_set(attempt->error, 0, "%s: redirected to a bad URL", server);
            return OUTCOME_NOT_SENT;
        }
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
