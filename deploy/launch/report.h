/* The node's status as one line of JSON: what the control socket answers and --json prints. */
#pragma once

struct node;

/* The caller frees it. */
char *report_of(const struct node *node);
