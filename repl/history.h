/* The lines typed before: $XDG_STATE_HOME/conure/history (~/.local/state if that is not set), 0600.
 */
#pragma once

#include "repl_limits.h"

#include <histedit.h>
#include <stddef.h>

struct history_file {
    History *history;
    char path[LIMIT_PATH_BYTES_MAX]; /* "": none can be kept */
};

/* Reads the file, if there is one. Whatever goes wrong, the session does without. */
void history_open(struct history_file *file);
/* Adds the line (without its newline) and writes the file, so that a killed session loses nothing.
 * Of two sessions at a time the last to write wins. */
void history_add(struct history_file *file, const char *line);
void history_close(struct history_file *file);

/* Where the file is, made from the two variables; "" if neither helps or it is too long. */
void history_path(const char *state_home, const char *home, char *into, size_t into_bytes);
