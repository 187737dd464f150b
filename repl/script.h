/* Commands from standard input, a line each, without a prompt. */
#pragma once

#include "session.h"

#include <stdio.h>

/* Runs the lines until the end, or `exit`. A command that fails does not stop the others; the exit
 * code of the last that failed is returned, 0 if none did. A line over REPL_LINE_BYTES_MAX ends the
 * script with a failure. */
int script_run(struct session *session, FILE *input);
