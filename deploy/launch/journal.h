/* The pipe that carries a daemon's stdout and stderr to the launcher's. One per daemon, kept over
 * its restarts. */
#pragma once

#include "error.h"
#include "line.h"
#include "loop.h"
#include "output.h"

struct journal {
    const char *name;
    unsigned colour;
    struct output *output;
    int read_fd;
    int write_fd; /* for the process; the launcher writes nothing here */
    struct loop_source *source;
    struct line_splitter splitter;
};

/* `name`, `output` and `journal` must live as long as the loop. Errors: negative errno. */
int journal_open(struct journal *journal, struct loop *loop, struct output *output,
                 const char *name, unsigned colour);
/* All that is in the pipe, also a last line without its end: for when the process has ended. */
void journal_drain(struct journal *journal);
void journal_close(struct journal *journal, struct loop *loop);
