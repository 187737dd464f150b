/* The other end of the control socket: `conure-launch status | start D | stop D | restart D`. */
#pragma once

#include "config.h"

/* Asks the launcher that runs in config->data_dir, prints what it says, and returns the exit code:
 * 0 done, EXIT_FAILURE not done or nobody there, EXIT_USAGE for bad words. */
int client_run(const struct config *config, int words_count, char **words);
