#include "complete.h"

#include "ask.h"
#include "command.h"
#include "line.h"

#include <string.h>

/* ---- commands ---- */

static size_t common_bytes(const char *a, size_t a_bytes, const char *b, size_t b_bytes)
{
    size_t common = 0;
    while (common < a_bytes && common < b_bytes && a[common] == b[common])
        common++;
    return common;
}

static bool complete_command(const char *begin, size_t length, struct buffer *rest)
{
    const char *common = NULL;
    size_t common_length = 0;
    unsigned found = 0;
    for (const char *const *name = command_names(); *name; name++) {
        if (strncmp(*name, begin, length) != 0)
            continue;
        size_t name_length = strlen(*name);
        common_length =
            common ? common_bytes(common, common_length, *name, name_length) : name_length;
        common = *name;
        found++;
    }
    if (!found)
        return false;
    buffer_append(rest, common + length, common_length - length);
    if (found == 1)
        buffer_append(rest, " ", 1);
    return rest->length > 0;
}

/* ---- keys: of all that begin so, the first and the last have in common what all have ---- */

static bool ask_key(const struct invocation *invocation, const struct word *prefix,
                    const char *more, struct buffer *ret_key)
{
    struct error error = {""};
    struct buffer path = {0};
    struct buffer *body = &invocation->session->client.answer.body;
    display_append_text(&path, "/kv?limit=1&keys_only=true&stale=true&prefix=");
    url_append_encoded(&path, prefix->bytes, prefix->length);
    display_append_text(&path, more);
    buffer_append(&path, "", 1);
    struct client_request request = {.method = "GET", .path = (const char *)path.bytes};
    bool is_answered = ask_client(invocation, &request, &error) == CLIENT_ANSWERED &&
                       invocation->session->client.answer.status == 200;
    buffer_free(&path);
    char *newline = is_answered ? memchr(body->bytes, '\n', body->length) : NULL;
    struct line line;
    if (!newline ||
        !line_read((char *)body->bytes, (size_t)(newline - (char *)body->bytes), &line) ||
        !line.has_key)
        return false;
    buffer_append(ret_key, line.key.bytes, line.key.length);
    return true;
}

static bool complete_key(const struct invocation *invocation, const struct word *prefix,
                         struct buffer *rest)
{
    struct buffer first = {0}, last = {0};
    bool found = ask_key(invocation, prefix, "", &first) &&
                 ask_key(invocation, prefix, "&reverse=true", &last);
    if (found) {
        size_t common = common_bytes((const char *)first.bytes, first.length,
                                     (const char *)last.bytes, last.length);
        if (common > prefix->length)
            word_escape((const char *)first.bytes + prefix->length, common - prefix->length, rest);
        if (first.length == last.length && common == first.length)
            buffer_append(rest, " ", 1);
    }
    buffer_free(&first);
    buffer_free(&last);
    return rest->length > 0;
}

/* The last word is the one at the cursor, though it may be empty: one byte behind it makes it one.
 */
static bool split(const char *line, size_t length, struct word_list *words)
{
    struct error error = {""};
    struct buffer longer = {0};
    buffer_append(&longer, line, length);
    buffer_append(&longer, "x", 1);
    bool is_good = !word_split(words, (const char *)longer.bytes, longer.length, &error);
    buffer_free(&longer);
    if (is_good)
        words->words[words->count - 1].length--;
    return is_good;
}

static bool complete_last(struct session *session, const struct word_list *words,
                          struct buffer *rest)
{
    const struct word *last = &words->words[words->count - 1];
    if (words->count == 1)
        return complete_command(last->bytes, last->length, rest);
    if (words->count != 2 || !command_takes_key(&words->words[0]))
        return false;
    struct options options = session->options;
    options.timeout_ms = REPL_COMPLETE_MS_MAX;
    struct invocation invocation = {.session = session, .options = &options};
    return complete_key(&invocation, last, rest);
}

bool complete(struct session *session, const char *line, size_t length, struct buffer *rest)
{
    struct word_list words = {.count = 0};
    bool found = split(line, length, &words) && complete_last(session, &words, rest);
    word_list_free(&words);
    return found;
}
