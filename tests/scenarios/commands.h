/* The words a scenario is written in: see the table in commands.c, or README.md. */
#pragma once

#include "stage.h"

/* One command line; what happens is written to stage->out. NULL, or why the line makes no sense
 * (static text); what it did until then stays done. */
const char *command_run(struct stage *stage, const char *line);
