/* The launcher's stderr, as the daemons' lines are written to it: each prefixed with its daemon's
 * name, in colour on a terminal only. Never blocks: a line that cannot be written now is dropped
 * and counted, and the next one says how many went missing. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct output {
    int fd;
    bool is_terminal;
    unsigned long lines_lost;
};

struct output output_of(int fd);

/* `colour` tells the daemons apart: 0 to 3. */
void output_line(struct output *output, const char *name, unsigned colour, const char *line,
                 size_t length);
