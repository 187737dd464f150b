#include "range.h"

#include "text.h"

#include <microhttpd.h>
#include <string.h>

static const char *const own_parameters[] = {"prefix",  "start",     "end",        "limit", "after",
                                             "reverse", "keys_only", "count_only", NULL};

bool range_is_asked(const struct uri *uri)
{
    for (const char *const *name = own_parameters; *name; name++)
        if (uri_find(uri, *name))
            return true;
    return false;
}

int range_read_flag(const struct uri *uri, const char *name, bool *ret_yes, struct problem *problem)
{
    const struct uri_parameter *parameter = uri_find(uri, name);
    if (!parameter)
        return 0;
    bool yes = uri_value_is(parameter, "true") || uri_value_is(parameter, "1");
    if (!yes && !uri_value_is(parameter, "false") && !uri_value_is(parameter, "0"))
        return problem_set(problem, MHD_HTTP_BAD_REQUEST,
                           "query parameter %s: want true, 1, false or 0", name);
    *ret_yes = yes;
    return 0;
}

/* ---- which keys ---- */

static const struct {
    const char *name, *other;
} exclusions[] = {
    {"prefix", "key"},   {"start", "key"},   {"end", "key"},       {"limit", "key"},
    {"after", "key"},    {"reverse", "key"}, {"keys_only", "key"}, {"count_only", "key"},
    {"start", "prefix"}, {"end", "prefix"},
};

static int check_combination(const struct uri *uri, struct problem *problem)
{
    bool has_start = uri_find(uri, "start"), has_end = uri_find(uri, "end");
    for (unsigned i = 0; i < sizeof(exclusions) / sizeof(*exclusions); i++)
        if (uri_find(uri, exclusions[i].name) && uri_find(uri, exclusions[i].other))
            return problem_set(problem, MHD_HTTP_BAD_REQUEST,
                               "query parameter %s: does not go with %s", exclusions[i].name,
                               exclusions[i].other);
    if (has_start != has_end)
        return problem_set(problem, MHD_HTTP_BAD_REQUEST,
                           "query parameter %s: want %s too (empty: no bound)",
                           has_start ? "start" : "end", has_start ? "end" : "start");
    if (!has_start && !uri_find(uri, "prefix"))
        return problem_set(problem, MHD_HTTP_BAD_REQUEST,
                           "want a key, key=K or /kv/K, or a range, prefix=P or start=A&end=B");
    return 0;
}

static int read_bytes(const struct uri *uri, const char *name, const uint8_t **ret_bytes,
                      size_t *ret_length, struct problem *problem)
{
    const struct uri_parameter *parameter = uri_find(uri, name);
    if (!parameter)
        return 0;
    if (parameter->value_bytes > LIMIT_KEY_BYTES_CAP)
        return problem_set(problem, MHD_HTTP_CONTENT_TOO_LARGE,
                           "query parameter %s: it has %zu bytes, the limit is %u", name,
                           parameter->value_bytes, LIMIT_KEY_BYTES_CAP);
    *ret_bytes = parameter->value;
    *ret_length = parameter->value_bytes;
    return 0;
}

/* The first key behind all that begin with it: none, if it is 0xff throughout. */
static void range_set_prefix_end(struct range *range)
{
    size_t length = range->open.start_bytes;
    while (length > 0 && range->open.start[length - 1] == 0xff)
        length--;
    if (length == 0)
        return;
    memcpy(range->prefix_end, range->open.start, length);
    range->prefix_end[length - 1]++;
    range->open.end = range->prefix_end;
    range->open.end_bytes = length;
}

static int read_keys(const struct uri *uri, struct range *range, struct problem *problem)
{
    struct scan_open *open = &range->open;
    int status = read_bytes(uri, "prefix", &open->start, &open->start_bytes, problem);
    if (!status)
        range_set_prefix_end(range);
    if (!status)
        status = read_bytes(uri, "start", &open->start, &open->start_bytes, problem);
    if (!status)
        status = read_bytes(uri, "end", &open->end, &open->end_bytes, problem);
    if (!status)
        status = read_bytes(uri, "after", &open->after, &open->after_bytes, problem);
    return status;
}

/* ---- how ---- */

static int read_limit(const struct uri *uri, struct range *range, struct problem *problem)
{
    const struct uri_parameter *limit = uri_find(uri, "limit");
    uint64_t value = 0;
    bool good = limit && text_read_number(limit->value, limit->value_bytes, &value);
    if (limit && (!good || value == 0))
        return problem_set(problem, MHD_HTTP_BAD_REQUEST,
                           "query parameter limit: want a number from 1 on");
    range->open.keys_max = value;
    return 0;
}

static int read_flags(const struct uri *uri, struct range *range, struct problem *problem)
{
    static const struct {
        const char *name;
        uint8_t flag;
    } flags[] = {
        {"reverse", SCAN_REVERSE}, {"keys_only", SCAN_KEYS_ONLY}, {"count_only", SCAN_COUNT_ONLY}};
    int status = range_read_flag(uri, "stale", &range->stale, problem);
    for (unsigned i = 0; !status && i < sizeof(flags) / sizeof(*flags); i++) {
        bool yes = false;
        status = range_read_flag(uri, flags[i].name, &yes, problem);
        if (yes)
            range->open.flags |= flags[i].flag;
    }
    if (!status && range->open.flags & SCAN_KEYS_ONLY && range->open.flags & SCAN_COUNT_ONLY)
        return problem_set(problem, MHD_HTTP_BAD_REQUEST,
                           "query parameter keys_only: does not go with count_only");
    return status;
}

int range_read(const struct uri *uri, struct range *ret_range, struct problem *problem)
{
    *ret_range = (struct range){.stale = false};
    int status = check_combination(uri, problem);
    if (!status)
        status = read_keys(uri, ret_range, problem);
    if (!status)
        status = read_limit(uri, ret_range, problem);
    if (!status)
        status = read_flags(uri, ret_range, problem);
    return status;
}
