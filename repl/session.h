/* What lasts from the first command to the last: the client, the options, how to show things, and
 * what went wrong. */
#pragma once

#include "client.h"
#include "display.h"
#include "options.h"
#include "word.h"

struct session {
    struct options options;
    struct display display;
    struct client client;
    struct word_list words;
    unsigned long line_number; /* of a script, from 1; 0: none */
    bool stdin_is_commands;    /* so it is no value */
    bool leaving;              /* `exit` was said */
    int exit_code;             /* of the last command that failed; 0: none has */
};

/* -ENOMEM if libcurl cannot be set up. `options` are copied. */
int session_open(struct session *session, const struct options *options,
                 const volatile sig_atomic_t *interrupted);
void session_close(struct session *session);

/* Runs a command given as words (which are moved about), or a line of them; an empty line and one
 * that begins with # do nothing. Returns its exit code, and keeps it if it is not 0. */
int session_run_words(struct session *session, struct word *words, unsigned count);
int session_run_line(struct session *session, const char *line, size_t length);

/* One line on stderr, with the script's line and the command (NULL: none) before it. Returns
 * `exit_code`. */
int session_complain(const struct session *session, const char *command, int exit_code,
                     const char *format, ...) __attribute__((format(printf, 4, 5)));
