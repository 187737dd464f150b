#include "problem.h"

#include "buffer.h"

#include <cjson/cJSON.h>
#include <microhttpd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int problem_set(struct problem *problem, unsigned status, const char *format, ...)
{
    va_list arguments;
    *problem = (struct problem){.status = status};
    va_start(arguments, format);
    (void)vsnprintf(problem->detail, sizeof(problem->detail), format, arguments);
    va_end(arguments);
    for (char *at = problem->detail; *at; at++)
        if (*at < 0x20 || *at > 0x7e)
            *at = '?';
    return (int)status;
}

int problem_set_unavailable(struct problem *problem, const char *detail)
{
    static const struct leader_hint nobody;
    problem_set(problem, MHD_HTTP_SERVICE_UNAVAILABLE, "%s", detail);
    problem->retry_after_s = 1;
    problem->leader = &nobody;
    return MHD_HTTP_SERVICE_UNAVAILABLE;
}

static void problem_add_members(const struct problem *problem, cJSON *object)
{
    if (problem->outcome_unknown)
        cJSON_AddStringToObject(object, "outcome", "unknown");
    if (problem->has_revision) {
        char digits[24];
        snprintf(digits, sizeof(digits), "%llu", (unsigned long long)problem->revision);
        cJSON_AddRawToObject(object, "revision", digits);
    }
    if (!problem->leader)
        return;
    cJSON_AddStringToObject(object, "leader", problem->leader->raft_address);
    if (!problem->leader->raft_address[0])
        return;
    cJSON_AddStringToObject(object, "leader_id", problem->leader->id);
    cJSON_AddStringToObject(object, "leader_url", problem->leader->http_url);
}

char *problem_render(const struct problem *problem)
{
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "title", MHD_get_reason_phrase_for(problem->status));
    cJSON_AddNumberToObject(object, "status", problem->status);
    cJSON_AddStringToObject(object, "detail", problem->detail);
    problem_add_members(problem, object);
    char *text = cJSON_PrintUnformatted(object);
    cJSON_Delete(object);
    if (!text)
        abort();
    size_t length = strlen(text);
    text = realloc(text, length + 2);
    if (!text)
        abort();
    memcpy(text + length, "\n", 2);
    return text;
}
