#include "options.h"

#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_SERVER "http://127.0.0.1:8081"

typedef int option_fn(struct options *options, const char *value, struct error *error);

struct option {
    const char *name;  /* with its dashes */
    const char *also;  /* a second name, or NULL */
    const char *value; /* what --help calls it; NULL: takes none */
    const char *help;
    option_fn *fn;
};

static int set_server(struct options *options, const char *value, struct error *error)
{
    return url_parse_servers(value, &options->servers, error);
}

static int set_timeout(struct options *options, const char *value, struct error *error)
{
    uint64_t ms;
    int code = config_parse_duration_ms(value, &ms, error);
    if (!code && (ms < 1 || ms > REPL_TIMEOUT_MS_MAX))
        code = error_set(error, -EINVAL, "want 1ms to 1h");
    if (!code)
        options->timeout_ms = ms;
    return code;
}

static int set_limit(struct options *options, const char *value, struct error *error)
{
    char *end;
    errno = 0;
    options->limit = strtoull(value, &end, 10);
    if (errno || *end || value[0] < '0' || value[0] > '9' || !options->limit)
        return error_set(error, -EINVAL, "want a number from 1 on");
    return 0;
}

static int set_format(struct options *options, enum display_format format)
{
    options->format = format;
    return 0;
}

#define FORMAT_SETTER(name, format)                                                                \
    static int name(struct options *options, const char *value, struct error *error)               \
    {                                                                                              \
        (void)value;                                                                               \
        (void)error;                                                                               \
        return set_format(options, format);                                                        \
    }
#define FLAG_SETTER(name, field)                                                                   \
    static int name(struct options *options, const char *value, struct error *error)               \
    {                                                                                              \
        (void)value;                                                                               \
        (void)error;                                                                               \
        options->field = true;                                                                     \
        return 0;                                                                                  \
    }
FORMAT_SETTER(set_raw, FORMAT_RAW)
FORMAT_SETTER(set_hex, FORMAT_HEX)
FORMAT_SETTER(set_base64, FORMAT_BASE64)
FLAG_SETTER(set_stale, stale)
FLAG_SETTER(set_keys, keys_only)
FLAG_SETTER(set_json, json)
FLAG_SETTER(set_stdin, value_from_stdin)
FLAG_SETTER(set_escapes, escapes)
FLAG_SETTER(set_timing, timing)
FLAG_SETTER(set_help, help)
FLAG_SETTER(set_version, version)

static const struct option table[] = {
    {"--server", NULL, "URL[,URL]",
     "nodes to ask, the next where one is not available\n"
     "                       (default " DEFAULT_SERVER ")",
     set_server},
    {"--timeout", NULL, "DURATION",
     "for one command, all in all\n"
     "                       (default 10s; for join, remove and transfer 75s)",
     set_timeout},
    {"--stale", NULL, NULL, "get, scan: from any node, perhaps not the latest", set_stale},
    {"--limit", NULL, "N", "scan: at most so many keys", set_limit},
    {"--keys", NULL, NULL, "scan: without values", set_keys},
    {"--json", NULL, NULL, "results as JSON, one line each", set_json},
    {"--raw", NULL, NULL, "values as they are, with no newline, also on a terminal", set_raw},
    {"--hex", NULL, NULL, "values in hexadecimal", set_hex},
    {"--base64", NULL, NULL, "values in base64", set_base64},
    {"-x", NULL, NULL, "put: the value is all of standard input", set_stdin},
    {"-e", "--escapes", NULL, "the command's words hold escapes (\\xNN, \\n, ...)", set_escapes},
    {"--timing", NULL, NULL, "say how long each command took, on stderr", set_timing},
    {"--help", "-h", NULL, "show this", set_help},
    {"--version", NULL, NULL, "show the version", set_version},
};

#define OPTIONS_COUNT (sizeof(table) / sizeof(*table))

struct options options_default(void)
{
    struct options options = {.format = FORMAT_FITTING};
    strcpy(options.servers.urls[0], DEFAULT_SERVER);
    options.servers.count = 1;
    return options;
}

/* The option the word names, alone or before '='. */
static const struct option *option_find(const struct word *word, const char **ret_inline_value)
{
    const char *equals = memchr(word->bytes, '=', word->length);
    size_t length = equals ? (size_t)(equals - word->bytes) : word->length;
    *ret_inline_value = equals ? equals + 1 : NULL;
    for (size_t i = 0; i < OPTIONS_COUNT; i++) {
        const struct option *option = &table[i];
        if (!strncmp(option->name, word->bytes, length) && !option->name[length])
            return option;
        if (option->also && !strncmp(option->also, word->bytes, length) && !option->also[length])
            return option;
    }
    return NULL;
}

static int option_fail_unknown(const struct word *word, struct error *error)
{
    const char *names[OPTIONS_COUNT + 1] = {NULL};
    for (size_t i = 0; i < OPTIONS_COUNT; i++)
        names[i] = table[i].name;
    const char *near = config_suggest(word->bytes, names);
    return error_set(error, -EINVAL, "unknown option %.60s: %s%s", word->bytes,
                     near ? "did you mean " : "put -- before a key or value that begins so",
                     near ? near : "");
}

/* Applies the option at words[*at], and moves *at behind it and its value. */
static int option_take(struct options *options, const struct word *words, unsigned count,
                       unsigned *at, struct error *error)
{
    struct error reason = {""};
    const char *value;
    const struct option *option = option_find(&words[*at], &value);
    if (!option)
        return option_fail_unknown(&words[*at], error);
    (*at)++;
    if (!option->value && value)
        return error_set(error, -EINVAL, "%s: takes no value", option->name);
    if (option->value && !value) {
        if (*at == count)
            return error_set(error, -EINVAL, "%s: want a value", option->name);
        value = words[(*at)++].bytes;
    }
    if (option->fn(options, value, &reason))
        return error_set(error, -EINVAL, "%s: bad value \"%.200s\": %s", option->name, value,
                         reason.text);
    return 0;
}

static bool option_looks_so(const struct word *word)
{
    const char *inline_value;
    if (word->quoted || word->length < 2 || word->bytes[0] != '-')
        return false;
    return word->bytes[1] == '-' || option_find(word, &inline_value);
}

int options_take(struct options *options, struct word *words, unsigned *count, struct error *error)
{
    unsigned kept = 0, at = 0;
    bool ended = false;
    while (at < *count) {
        if (!ended && !words[at].quoted && word_is(&words[at], "--")) {
            ended = true;
            at++;
        } else if (!ended && option_looks_so(&words[at])) {
            int code = option_take(options, words, *count, &at, error);
            if (code)
                return code;
        } else {
            words[kept++] = words[at++];
        }
    }
    *count = kept;
    return 0;
}

void options_print_help(void)
{
    for (size_t i = 0; i < OPTIONS_COUNT; i++) {
        char left[64];
        const struct option *option = &table[i];
        snprintf(left, sizeof(left), "%s%s%s%s%s", option->name, option->also ? ", " : "",
                 option->also ? option->also : "", option->value ? " " : "",
                 option->value ? option->value : "");
        printf("  %-20s %s\n", left, option->help);
    }
}
