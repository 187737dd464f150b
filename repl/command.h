/* The commands: one table, from which running, help, completion and "did you mean" are made. */
#pragma once

#include "options.h"
#include "word.h"

struct session;

/* A command about to run. words[0] is its name, the others its operands. */
struct invocation {
    struct session *session;
    const struct options *options;
    const struct word *words;
    unsigned words_count;
};

/* Finds the command, checks the number of operands, runs it. Returns the exit code; what went wrong
 * has been said. */
int command_run(const struct invocation *invocation);

/* Names of all commands; static, ends with NULL. */
const char *const *command_names(void);

/* Whether its first operand is a key, or how one begins. */
bool command_takes_key(const struct word *name);

/* The table of all commands. */
void command_append_help(struct buffer *into);
