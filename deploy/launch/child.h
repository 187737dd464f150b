/* Starting a daemon's process: what it inherits and, above all, what it does not. */
#pragma once

#include "error.h"

#include <sys/types.h>

struct child_plan {
    const char *path;  /* of the program, absolute */
    char *const *argv; /* ends with NULL */
    int directory_fd;  /* its working directory: where the launcher was started */
    int output_fd;     /* its stdout and stderr */
    int listen_fd;     /* handed down as descriptor 3 (sd_listen_fds(3)); -1: none */
};

/* Starts the process, in a process group of its own (a terminal's Ctrl-C is for the launcher, which
 * stops the daemons in order), with SIGTERM sent to it when the launcher dies, no descriptors but
 * those named here, and no signal blocked. Returns once the program runs. Errors: negative errno
 * with a line naming the program. */
int child_spawn(const struct child_plan *plan, pid_t *ret_pid, struct error *error);
