#include "ask.h"

#include "outcome.h"

#include <cjson/cJSON.h>
#include <time.h>

int show(const struct invocation *invocation, struct buffer *text)
{
    bool written = display_write(text);
    buffer_free(text);
    if (!written)
        return COMPLAIN(invocation, EXIT_CODE_FAILURE, "cannot write to standard output");
    return EXIT_CODE_OK;
}

/* An error's status, and its "detail" (or "title") if the body is such JSON. */
static int complain_about_status(const struct invocation *invocation,
                                 const struct client_request *request)
{
    const struct exchange_answer *answer = &invocation->session->client.answer;
    cJSON *problem = cJSON_ParseWithLength((const char *)answer->body.bytes, answer->body.length);
    const char *detail = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(problem, "detail"));
    if (!detail || !detail[0])
        detail = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(problem, "title"));
    if (!detail || !detail[0])
        detail = answer->status == 404 ? "not found" : "the server refused";
    bool unknown = outcome_is_unknown(answer->status, request->is_write) &&
                   !(request->is_change && answer->status == 502);
    int exit_code =
        COMPLAIN(invocation, outcome_exit_code(answer->status), "%s%.400s (HTTP %ld)",
                 unknown ? "outcome unknown, it may or may not have been applied: " : "", detail,
                 answer->status);
    cJSON_Delete(problem);
    return exit_code;
}

enum client_result ask_client(const struct invocation *invocation, struct client_request *request,
                              struct error *error)
{
    if (!request->servers)
        request->servers = &invocation->options->servers;
    if (invocation->options->timeout_ms)
        request->timeout_ms = invocation->options->timeout_ms;
    else if (!request->timeout_ms)
        request->timeout_ms = REPL_TIMEOUT_MS;
    return client_call(&invocation->session->client, request, error);
}

int ask_judge(const struct invocation *invocation, const struct client_request *request,
              enum client_result result, const struct error *error)
{
    switch (result) {
    case CLIENT_ANSWERED:
        if (outcome_exit_code(invocation->session->client.answer.status) == EXIT_CODE_OK)
            return EXIT_CODE_OK;
        return complain_about_status(invocation, request);
    case CLIENT_UNAVAILABLE:
        return COMPLAIN(invocation, EXIT_UNAVAILABLE, "unavailable: %s", error->text);
    case CLIENT_UNKNOWN:
        return COMPLAIN(invocation, EXIT_UNAVAILABLE,
                        "outcome unknown, it may or may not have been applied: %s", error->text);
    case CLIENT_INTERRUPTED:
        return COMPLAIN(invocation, EXIT_CODE_FAILURE, "interrupted");
    case CLIENT_FAILED:
        break;
    }
    return COMPLAIN(invocation, EXIT_CODE_FAILURE, "%s", error->text);
}

int ask(const struct invocation *invocation, struct client_request *request)
{
    struct error error = {""};
    enum client_result result = ask_client(invocation, request, &error);
    return ask_judge(invocation, request, result, &error);
}

bool ask_pause(void)
{
    struct timespec pause = {.tv_nsec = REPL_AGAIN_MS * 1000000L};
    return nanosleep(&pause, NULL) == 0;
}
