/* Joining the cluster through the seeds: once the node runs, `conure-repl join` as a child, again
 * and again with growing pauses until it succeeds. It is no daemon: nothing waits for it, and
 * nothing happens to the daemons whatever becomes of it. */
#pragma once

#include "backoff.h"
#include "child.h"
#include "config.h"
#include "journal.h"
#include "loop.h"

#include <stdbool.h>
#include <sys/types.h>

#define JOINER_PROGRAM "conure-repl"

struct joiner {
    struct loop *loop;
    struct child_plan plan;
    struct journal journal;
    struct loop_timer timer; /* to the next try */
    struct backoff backoff;
    pid_t pid; /* 0: none runs */
    unsigned tries;
    bool wanted; /* there are seeds, and it has not come to an end */
    char *path, *servers, *servers_and_self;
    char address[LIMIT_ADDRESS_BYTES_MAX];
    char *argv[8];
};

/* Prepares; without seeds, there is nothing to do. All must live as long as the joiner. Errors:
 * negative errno. */
int joiner_open(struct joiner *joiner, struct loop *loop, struct output *output,
                const struct config *config, const char *program_directory, int directory_fd);
void joiner_close(struct joiner *joiner);

/* The daemons are ready. */
void joiner_start(struct joiner *joiner);
/* Ends the child at once: it has nothing to tidy up. */
void joiner_stop(struct joiner *joiner);
/* The child has been waited for; `wait_status` is waitpid's. */
void joiner_on_exit(struct joiner *joiner, int wait_status);
