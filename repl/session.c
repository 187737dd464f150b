#include "session.h"

#include "command.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int session_open(struct session *session, const struct options *options,
                 const volatile sig_atomic_t *interrupted)
{
    *session = (struct session){.options = *options, .display = display_of_process()};
    return client_open(&session->client, interrupted);
}

void session_close(struct session *session)
{
    client_close(&session->client);
    word_list_free(&session->words);
}

/* The text comes from servers and users too: what could move a cursor is escaped. */
static void write_line(const struct session *session, const char *text)
{
    struct buffer line = {0};
    display_append_text(&line, session->display.error_in_colour ? "\033[31m" : "");
    display_append_escaped(text, strlen(text), false, &line);
    display_append_text(&line, session->display.error_in_colour ? "\033[0m\n" : "\n");
    (void)fflush(stdout);
    (void)!fwrite(line.bytes, 1, line.length, stderr);
    buffer_free(&line);
}

int session_complain(const struct session *session, const char *command, int exit_code,
                     const char *format, ...)
{
    char text[2 * ERROR_TEXT_BYTES];
    size_t at = 0;
    va_list arguments;
    if (session->line_number)
        at = (size_t)snprintf(text, sizeof(text), "conure-repl: line %lu: ", session->line_number);
    else if (!session->stdin_is_commands)
        at = (size_t)snprintf(text, sizeof(text), "conure-repl: ");
    if (command)
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s: ", command);
    va_start(arguments, format);
    (void)vsnprintf(text + at, sizeof(text) - at, format, arguments);
    va_end(arguments);
    write_line(session, text);
    return exit_code;
}

static int session_keep(struct session *session, int exit_code)
{
    if (exit_code)
        session->exit_code = exit_code;
    return exit_code;
}

int session_run_words(struct session *session, struct word *words, unsigned count)
{
    struct options options = session->options;
    struct error error = {""};
    if (options_take(&options, words, &count, &error))
        return session_keep(session,
                            session_complain(session, NULL, EXIT_CODE_USAGE, "%s", error.text));
    if (count == 0)
        return 0;
    struct invocation invocation = {
        .session = session, .options = &options, .words = words, .words_count = count};
    return session_keep(session, command_run(&invocation));
}

int session_run_line(struct session *session, const char *line, size_t length)
{
    struct error error = {""};
    size_t blank = 0;
    while (blank < length && (line[blank] == ' ' || line[blank] == '\t'))
        blank++;
    if (blank < length && line[blank] == '#')
        return 0;
    if (word_split(&session->words, line, length, &error))
        return session_keep(session,
                            session_complain(session, NULL, EXIT_CODE_USAGE, "%s", error.text));
    return session_run_words(session, session->words.words, session->words.count);
}
