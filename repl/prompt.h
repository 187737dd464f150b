/* The interactive session on a terminal: line editing, history, completion of commands and keys. */
#pragma once

#include "session.h"

/* Set by Ctrl-C while prompt_run runs; ends the request under way. */
extern volatile sig_atomic_t prompt_interrupted;

/* Reads and runs lines until `exit` or Ctrl-D. Ctrl-C drops the line, or ends the request. Returns
 * the exit code: 0, or EXIT_FAILURE if the terminal cannot be used. */
int prompt_run(struct session *session);
