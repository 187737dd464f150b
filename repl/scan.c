/* Page by page: so that no answer is large, and on a terminal something is seen at once. Each page
 * is of one moment; a change between two pages may be seen in the second. */
#include "scan.h"

#include "ask.h"
#include "line.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct scan {
    const struct invocation *invocation;
    uint64_t page_keys; /* to ask for at once */
    uint64_t left;      /* of --limit */
    uint64_t keys;      /* shown */
    struct buffer after;
    bool more;
    bool shows_progress;
};

/* ---- asking ---- */

static void scan_append_path(const struct scan *scan, struct buffer *into)
{
    char limit[48];
    const struct invocation *invocation = scan->invocation;
    uint64_t keys = scan->page_keys < scan->left ? scan->page_keys : scan->left;
    display_append_text(into, "/kv?prefix=");
    if (invocation->words_count > 1)
        url_append_encoded(into, invocation->words[1].bytes, invocation->words[1].length);
    snprintf(limit, sizeof(limit), "&limit=%" PRIu64, keys);
    display_append_text(into, limit);
    if (scan->after.length) {
        display_append_text(into, "&after=");
        url_append_encoded(into, (const char *)scan->after.bytes, scan->after.length);
    }
    if (invocation->options->keys_only)
        display_append_text(into, "&keys_only=true");
    if (invocation->options->stale)
        display_append_text(into, "&stale=true");
    buffer_append(into, "", 1);
}

/* A page whose values are too large to be taken at once is asked for in smaller ones. */
static int scan_ask(struct scan *scan)
{
    struct error error = {""};
    for (;;) {
        struct buffer path = {0};
        struct client_request request = {.method = "GET"};
        scan_append_path(scan, &path);
        request.path = (const char *)path.bytes;
        enum client_result result = ask_client(scan->invocation, &request, &error);
        bool too_large = result == CLIENT_FAILED && scan->page_keys > 1;
        int exit_code = too_large ? 0 : ask_judge(scan->invocation, &request, result, &error);
        buffer_free(&path);
        if (!too_large)
            return exit_code;
        scan->page_keys = scan->page_keys > 16 ? scan->page_keys / 16 : 1;
    }
}

/* ---- showing ---- */

static void scan_take_end(struct scan *scan, const struct line *line)
{
    scan->more = line->more && line->has_next;
    scan->after.length = 0;
    buffer_append(&scan->after, line->next.bytes, line->next.length);
}

/* Shows one line of the answer. False: it is none, or behind the last. */
static bool scan_take_line(struct scan *scan, char *text, size_t length, struct buffer *into,
                           bool *is_over)
{
    struct line line;
    size_t begin = into->length;
    if (scan->invocation->options->json)
        buffer_append(into, text, length + 1); /* before it is decoded in its place */
    if (*is_over || !line_read(text, length, &line))
        return false;
    *is_over = line.has_count;
    if (line.has_count) {
        into->length = begin;
        scan_take_end(scan, &line);
        return true;
    }
    scan->keys++;
    scan->left--;
    if (!scan->invocation->options->json)
        line_append(scan->invocation, &line, into);
    return line.has_key && scan->left < UINT64_MAX;
}

/* Without a last line the answer is not whole. */
static bool scan_take_page(struct scan *scan, const struct buffer *body, struct buffer *into)
{
    char *at = (char *)body->bytes, *end = at + body->length;
    bool is_over = false;
    while (at < end) {
        char *newline = memchr(at, '\n', (size_t)(end - at));
        if (!newline || !scan_take_line(scan, at, (size_t)(newline - at), into, &is_over))
            return false;
        at = newline + 1;
    }
    return is_over;
}

static void scan_show_progress(const struct scan *scan, const char *end)
{
    if (scan->shows_progress)
        fprintf(stderr, "\r%" PRIu64 " keys%s", scan->keys, end);
}

static int scan_page(struct scan *scan)
{
    struct buffer text = {0};
    int exit_code = scan_ask(scan);
    if (exit_code)
        return exit_code;
    bool whole = scan_take_page(scan, &scan->invocation->session->client.answer.body, &text);
    exit_code = show(scan->invocation, &text);
    if (!exit_code && !whole)
        exit_code = COMPLAIN(scan->invocation, EXIT_CODE_FAILURE,
                             "the server's answer is no scan, or not whole");
    scan_show_progress(scan, "");
    return exit_code;
}

int command_scan(const struct invocation *invocation)
{
    struct scan scan = {
        .invocation = invocation,
        .page_keys = REPL_PAGE_KEYS,
        .left = invocation->options->limit ? invocation->options->limit : UINT64_MAX,
        .shows_progress = !invocation->session->display.out_is_terminal && isatty(STDERR_FILENO)};
    int exit_code;
    do
        exit_code = scan_page(&scan);
    while (!exit_code && scan.more && scan.left);
    scan_show_progress(&scan, "\n");
    buffer_free(&scan.after);
    return exit_code;
}
