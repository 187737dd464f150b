/* The whole-file checker behind `conure-storaged --check FILE`. Owner: storaged.
 *
 * It opens the file for reading only and verifies what a commit promises: every page of the tree is
 * whole and pinned by its parent, keys are in order within and across pages, every page is reached
 * once or free and never both, and key count and state hash are those of the meta page. */
#pragma once

#include "store.h"

/* Called for each finding, one line without a newline. */
typedef void verify_report_fn(void *context, const char *line);
/* Called now and then with how far it is; may be NULL. */
typedef void verify_progress_fn(void *context, uint64_t pages_done, uint64_t pages);

/* Number of findings (0: clean), or a negative errno with a line if the file cannot be opened at
 * all. The caller makes sure that nobody writes to it. */
long verify_file(const char *path, verify_report_fn *report, verify_progress_fn *progress,
                 void *context, struct error *error);
/* The same for an open pager and a tree in it, with the counts it should have: for tests, after
 * each transaction. */
long verify_tree(struct tree *tree, const struct meta *expected, verify_report_fn *report,
                 verify_progress_fn *progress, void *context);
