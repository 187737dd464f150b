/* What the programs of the crash proof have in common: arguments, rounds until enough states were
 * seen, the line that replays a failure. Owner: tests/crash. */
#pragma once

#include "random.h"

#include <stdbool.h>
#include <stdint.h>

struct program {
    const char *name;
    uint64_t seed, states, round;  /* round: the number of the one that runs */
    const char *mutant;            /* NULL: none */
    uint64_t seen, moments, again; /* states, moments looked at, states that were run on */
};

/* Ends the process with 2 on a bad argument. */
void program_arguments(struct program *program, int argc, char **argv);
/* Runs rounds, each with its own random numbers, until program->states were seen or one fails. The
 * exit code. */
int program_run(struct program *program, bool (*round)(struct random *random));
