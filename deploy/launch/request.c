#include "request.h"

#include "config.h"
#include "kinds.h"
#include "launch_limits.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define WORDS_MAX 3

static const struct {
    const char *name;
    bool takes_daemon;
} verbs[REQUEST_VERBS] = {
    [REQUEST_STATUS] = {"status", false},
    [REQUEST_START] = {"start", true},
    [REQUEST_STOP] = {"stop", true},
    [REQUEST_RESTART] = {"restart", true},
};

static int request_fail(struct error *error, const char *what, const char *word,
                        const char *const *allowed, const char *listed)
{
    const char *near = config_suggest(word, allowed);
    return error_set(error, -EINVAL, "unknown %s \"%.40s\": %s%s%s", what, word,
                     near ? "did you mean " : "want ", near ? near : listed, near ? "?" : "");
}

static int request_parse_verb(const char *word, enum request_verb *ret_verb, struct error *error)
{
    const char *names[REQUEST_VERBS + 1] = {NULL};
    for (unsigned i = 0; i < REQUEST_VERBS; i++) {
        names[i] = verbs[i].name;
        if (!strcmp(word, verbs[i].name)) {
            *ret_verb = (enum request_verb)i;
            return 0;
        }
    }
    return request_fail(error, "command", word, names, "status, start, stop or restart");
}

static int request_parse_daemon(const char *word, unsigned *ret_daemon, struct error *error)
{
    const char *names[KINDS_COUNT + 1] = {NULL};
    for (unsigned i = 0; i < KINDS_COUNT; i++) {
        names[i] = kinds[i].name;
        if (!strcmp(word, kinds[i].name) || !strcmp(word, kinds[i].program)) {
            *ret_daemon = i;
            return 0;
        }
    }
    return request_fail(error, "daemon", word, names, "storaged, raftd or httpd");
}

int request_parse(const char *line, struct request *ret_request, struct error *error)
{
    char copy[LAUNCH_REQUEST_BYTES_MAX], *words[WORDS_MAX], *rest = copy, *word;
    struct request request = {.daemon = 0};
    unsigned count = 0;
    if (strlen(line) >= sizeof(copy))
        return error_set(error, -EINVAL, "command too long: want at most %u bytes",
                         LAUNCH_REQUEST_BYTES_MAX - 1);
    strcpy(copy, line);
    while (count < WORDS_MAX && (word = strsep(&rest, " ")))
        if (word[0])
            words[count++] = word;
    if (count == 0)
        return error_set(error, -EINVAL, "want status, start D, stop D or restart D");
    int code = request_parse_verb(words[0], &request.verb, error);
    if (code)
        return code;
    const char *name = verbs[request.verb].name;
    if (verbs[request.verb].takes_daemon && count != 2)
        return error_set(error, -EINVAL, "%s: want one of storaged, raftd, httpd", name);
    if (!verbs[request.verb].takes_daemon && count != 1)
        return error_set(error, -EINVAL, "%s: unexpected argument \"%.40s\"", name, words[1]);
    if (count == 2 && (code = request_parse_daemon(words[1], &request.daemon, error)))
        return code;
    *ret_request = request;
    return 0;
}
