/* What conure-storaged does with a file instead of serving it: --dump, --load, --stat (--check is
 * verify.h). Streaming: memory does not grow with the file. Owner: storaged.
 *
 * The caller sees to it that nobody else writes the file. `progress` may be NULL. */
#pragma once

#include "error.h"

#include <stdint.h>
#include <stdio.h>

typedef void tools_progress_fn(void *context, uint64_t done, uint64_t of); /* of: 0 if unknown */

enum tools_outcome { TOOLS_CUT = 1 /* begun, but not brought to its end; the line says why */ };

/* Every record in key order and the end, as lines.h has them. TOOLS_CUT: a page is damaged, or
 * `out` takes no more. Else the errors of pager_open. */
int tools_dump(const char *path, FILE *out, tools_progress_fn *progress, void *context,
               struct error *error);
/* Makes `path` from such lines in key order; revisions are kept, and the end's revision becomes the
 * applied index. TOOLS_CUT: a line is wrong, out of order, or the end is missing or counts
 * otherwise; nothing is left of the file. Else the errors of bulk.h. */
int tools_load(const char *path, FILE *in, tools_progress_fn *progress, void *context,
               struct error *error);
/* What the file holds, a name and a number to a line. Reads every page of the tree. TOOLS_CUT, or
 * the errors of pager_open. */
int tools_stat(const char *path, FILE *out, struct error *error);
