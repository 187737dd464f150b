/* What Tab adds to a line. */
#pragma once

#include "session.h"

/* Appends to `rest` what all that could stand at the end of these `length` bytes have in common
 * behind them, escaped as a word is, and a space if it is a whole one: commands as the first word;
 * keys, where a command takes one, asked of the nodes for at most REPL_COMPLETE_MS_MAX. False:
 * nothing fits, or it is not known. Within quotes that are open nothing is completed. */
bool complete(struct session *session, const char *line, size_t length, struct buffer *rest);
