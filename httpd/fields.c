/* cJSON is lenient where it does no harm here, and in two places where it would: it ends a string
 * at an escaped NUL, and reads no further than the value. Both are looked at beforehand and behind
 * it. */
#include "fields.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static int fields_fail(struct problem *problem, const char *what)
{
    return problem_set(problem, MHD_HTTP_BAD_REQUEST, "the body is %s", what);
}

/* NUL as a byte or as an escape: no text that is wanted here has one. */
static bool has_nul(const char *text, size_t length)
{
    static const char escape[] = "\\u0000";
    return memchr(text, '\0', length) || memmem(text, length, escape, strlen(escape));
}

static cJSON *parse(const char *text, size_t length)
{
    const char *end = NULL;
    cJSON *object = cJSON_ParseWithLengthOpts(text, length, &end, false);
    while (object && end < text + length && strchr(" \t\r\n", *end))
        end++;
    if (object && end == text + length)
        return object;
    cJSON_Delete(object);
    return NULL;
}

static struct field *field_of(struct field *fields, unsigned count, const char *name)
{
    for (unsigned i = 0; i < count; i++)
        if (!strcasecmp(fields[i].name, name) ||
            (fields[i].also && !strcasecmp(fields[i].also, name)))
            return &fields[i];
    return NULL;
}

static int field_fail_unknown(const struct field *fields, unsigned count, const char *name,
                              struct problem *problem)
{
    char names[128] = "";
    for (unsigned i = 0; i < count; i++) {
        size_t length = strlen(names);
        snprintf(names + length, sizeof(names) - length, "%s%s", i ? " and " : "", fields[i].name);
    }
    return problem_set(problem, MHD_HTTP_BAD_REQUEST, "unknown member '%.64s': want %s", name,
                       names);
}

static int field_read(struct field *field, const cJSON *member, struct problem *problem)
{
    struct error error = {""};
    const char *text = cJSON_GetStringValue(member);
    if (field->is_given)
        return problem_set(problem, MHD_HTTP_BAD_REQUEST, "%s is given twice", field->name);
    if (!text)
        return problem_set(problem, MHD_HTTP_BAD_REQUEST, "%s: want a string: %s", field->name,
                           field->want);
    if (field->take(text, field->into, &error))
        return problem_set(problem, MHD_HTTP_BAD_REQUEST, "%s: bad value '%.64s': %s", field->name,
                           text, error.text);
    field->is_given = true;
    return 0;
}

int fields_read(const void *body, size_t body_bytes, struct field *fields, unsigned fields_count,
                struct problem *problem)
{
    int status = 0;
    cJSON *member;
    if (body_bytes && has_nul(body, body_bytes))
        return fields_fail(problem, "not text: it has a NUL in it");
    cJSON *object = body_bytes ? parse(body, body_bytes) : NULL;
    if (!object)
        return fields_fail(problem, body_bytes ? "not JSON" : "empty: want a JSON object");
    if (!cJSON_IsObject(object))
        status = fields_fail(problem, "not a JSON object");
    for (member = object->child; member && !status; member = member->next) {
        struct field *field = field_of(fields, fields_count, member->string);
        status = field ? field_read(field, member, problem)
                       : field_fail_unknown(fields, fields_count, member->string, problem);
    }
    cJSON_Delete(object);
    return status;
}
