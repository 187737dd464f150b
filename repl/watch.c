/* Changes as server-sent events. Whatever ends an answer (a node that stops, a cut, silence), the
 * next begins behind the last event that was whole: its id goes out as Last-Event-ID. */
#include "watch.h"

#include "ask.h"
#include "line.h"

#include <stdio.h>
#include <string.h>

#define ID_BYTES_MAX 48u
#define ID_HEADER "Last-Event-ID: "

struct watcher {
    const struct invocation *invocation;
    struct buffer text;                            /* not yet whole lines */
    char header[sizeof(ID_HEADER) + ID_BYTES_MAX]; /* of what has been shown; "" at first */
    char id[ID_BYTES_MAX], kind[16];               /* of the event being read */
    struct buffer data;
    bool is_silent; /* no server can be asked, and that was said */
    int exit_code;  /* what ends it, if not 0 */
};

/* ---- events ---- */

static void watcher_show(struct watcher *watcher)
{
    struct buffer text = {0};
    struct line line;
    char *data = (char *)watcher->data.bytes;
    size_t length = watcher->data.length;
    char kind[sizeof(watcher->kind) + 24];
    bool as_json = watcher->invocation->options->json;
    snprintf(kind, sizeof(kind), as_json ? "{\"type\":\"%s\"," : "%s\t", watcher->kind);
    display_append_text(&text, kind);
    if (as_json && length > 1) {
        buffer_append(&text, data + 1, length - 1); /* before it is decoded in its place */
        display_append_text(&text, "\n");
    }
    if (!line_read(data, length, &line) || !line.has_key) {
        buffer_free(&text);
        watcher->exit_code =
            COMPLAIN(watcher->invocation, EXIT_CODE_FAILURE, "the server's answer is no watch");
        return;
    }
    if (!as_json)
        line_append(watcher->invocation, &line, &text);
    watcher->exit_code = show(watcher->invocation, &text);
}

/* An empty line: what came before is an event, or an id alone. */
static void watcher_end_event(struct watcher *watcher)
{
    if (!strcmp(watcher->kind, "gone"))
        watcher->exit_code =
            COMPLAIN(watcher->invocation, EXIT_CODE_FAILURE,
                     "the history does not go back far enough any more: changes were missed");
    else if (watcher->data.length)
        watcher_show(watcher);
    if (!watcher->exit_code && watcher->id[0])
        snprintf(watcher->header, sizeof(watcher->header), ID_HEADER "%s", watcher->id);
    watcher->id[0] = watcher->kind[0] = '\0';
    watcher->data.length = 0;
}

static bool take_field(const char *line, size_t length, const char *name, char *into,
                       size_t into_bytes)
{
    size_t name_bytes = strlen(name);
    if (length < name_bytes || memcmp(line, name, name_bytes))
        return false;
    snprintf(into, into_bytes, "%.*s", (int)(length - name_bytes), line + name_bytes);
    return true;
}

/* A comment, and fields of another name, are nothing. */
static void watcher_take_line(struct watcher *watcher, const char *line, size_t length)
{
    static const char data[] = "data: ";
    const size_t name_bytes = sizeof(data) - 1;
    if (length == 0)
        watcher_end_event(watcher);
    else if (length >= name_bytes && !memcmp(line, data, name_bytes))
        buffer_append(&watcher->data, line + name_bytes, length - name_bytes);
    else if (!take_field(line, length, "id: ", watcher->id, sizeof(watcher->id)))
        (void)take_field(line, length, "event: ", watcher->kind, sizeof(watcher->kind));
}

static bool watcher_take(void *context, const char *bytes, size_t length)
{
    struct watcher *watcher = context;
    if (length == 0) { /* what was cut in two comes again, whole */
        watcher->text.length = watcher->data.length = 0;
        watcher->id[0] = watcher->kind[0] = '\0';
        return true;
    }
    watcher->is_silent = false;
    while (length > 0 && !watcher->exit_code) {
        const char *newline = memchr(bytes, '\n', length);
        size_t taken = newline ? (size_t)(newline - bytes) : length;
        buffer_append(&watcher->text, bytes, taken);
        if (!newline)
            break;
        watcher_take_line(watcher, (const char *)watcher->text.bytes, watcher->text.length);
        watcher->text.length = 0;
        bytes += taken + 1;
        length -= taken + 1;
    }
    return !watcher->exit_code;
}

/* ---- asking ---- */

/* True: it goes on with another answer. Before the first was heard nothing is waited for. */
static bool watcher_goes_on(struct watcher *watcher, const struct client_request *request,
                            enum client_result result, const struct error *error)
{
    long status = watcher->invocation->session->client.answer.status;
    bool has_begun = watcher->header[0];
    if (watcher->exit_code || result == CLIENT_INTERRUPTED)
        return false;
    if (result == CLIENT_ANSWERED && status == 200)
        return true;
    bool is_away = result == CLIENT_UNAVAILABLE ||
                   (result == CLIENT_ANSWERED && outcome_exit_code(status) == EXIT_UNAVAILABLE);
    if (has_begun && is_away && watcher->is_silent)
        return true;
    watcher->is_silent = true;
    watcher->exit_code = ask_judge(watcher->invocation, request, result, error);
    if (has_begun && is_away)
        watcher->exit_code = EXIT_CODE_OK; /* said once, and waited for */
    return has_begun && is_away;
}

int command_watch(const struct invocation *invocation)
{
    struct watcher watcher = {.invocation = invocation};
    struct buffer path = {0};
    struct error error = {""};
    struct client_request request = {
        .method = "GET", .header = watcher.header, .take = watcher_take, .take_context = &watcher};
    display_append_text(&path, "/watch?prefix=");
    if (invocation->words_count > 1)
        url_append_encoded(&path, invocation->words[1].bytes, invocation->words[1].length);
    buffer_append(&path, "", 1);
    request.path = (const char *)path.bytes;
    while (watcher_goes_on(&watcher, &request, ask_client(invocation, &request, &error), &error))
        (void)ask_pause(); /* Ctrl-C ends it, and then the next try */
    buffer_free(&path);
    buffer_free(&watcher.text);
    buffer_free(&watcher.data);
    return watcher.exit_code;
}
