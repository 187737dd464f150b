/* A tag that no revision can have (weak, not a number, a leading zero) is a condition that does not
 * hold: it becomes revision 0, which no key has, so that it fails in its turn like any other. */
#include "condition.h"

#include "text.h"

#include <microhttpd.h>
#include <stdio.h>
#include <string.h>

static const char *skip_blanks(const char *text)
{
    return text + strspn(text, " \t");
}

/* Reads `[W/]"opaque"` and gives what stands between the quotes. */
static bool parse_tag(const char *text, const char **ret_opaque, size_t *ret_length, bool *ret_weak)
{
    bool weak = !strncmp(text, "W/", 2);
    text += weak ? 2 : 0;
    if (*text++ != '"')
        return false;
    const char *end = strchr(text, '"');
    if (!end || *skip_blanks(end + 1))
        return false;
    for (const char *at = text; at < end; at++)
        if (*at == ' ' || *at == '\t')
            return false;
    *ret_opaque = text;
    *ret_length = (size_t)(end - text);
    *ret_weak = weak;
    return true;
}

static uint64_t revision_of(const char *opaque, size_t length)
{
    uint64_t revision;
    bool is_one = length > 0 && opaque[0] != '0' && text_read_number(opaque, length, &revision);
    return is_one ? revision : 0;
}

static bool is_star(const char *text)
{
    return *text == '*' && !*skip_blanks(text + 1);
}

int condition_parse(const char *if_match, const char *if_none_match,
                    struct condition *ret_condition, struct problem *problem)
{
    const char *opaque;
    size_t length;
    bool weak;
    if (if_match && if_none_match)
        return problem_set(problem, MHD_HTTP_BAD_REQUEST,
                           "If-Match and If-None-Match exclude each other");
    if (!if_match && !if_none_match) {
        *ret_condition = (struct condition){.kind = COMMAND_ALWAYS};
    } else if (if_none_match) {
        if (!is_star(skip_blanks(if_none_match)))
            return problem_set(problem, MHD_HTTP_BAD_REQUEST, "If-None-Match must be *");
        *ret_condition = (struct condition){.kind = COMMAND_IF_ABSENT};
    } else if (is_star(skip_blanks(if_match))) {
        *ret_condition = (struct condition){.kind = COMMAND_IF_PRESENT};
    } else if (parse_tag(skip_blanks(if_match), &opaque, &length, &weak)) {
        *ret_condition = (struct condition){
            .kind = COMMAND_IF_REVISION,
            .revision = weak ? 0 : revision_of(opaque, length),
        };
    } else {
        return problem_set(problem, MHD_HTTP_BAD_REQUEST,
                           "If-Match must be * or one entity tag in quotes, like \"42\"");
    }
    return 0;
}

void condition_format_etag(uint64_t revision, char into[CONDITION_ETAG_BYTES])
{
    snprintf(into, CONDITION_ETAG_BYTES, "\"%llu\"", (unsigned long long)revision);
}
