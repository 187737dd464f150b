/* Records as lines of JSON, as --dump writes and --load reads them, and as scans look (one object
 * to a line). Owner: storaged.
 *
 *   {"key":"...","value":"...","revision":R}       "key_base64", "value_base64" for bytes that are
 *                                                  no valid UTF-8
 *   {"count":N,"more":false,"revision":R}          the last one; R is the applied index */
#pragma once

#include "buffer.h"
#include "tree.h"

#include <stdbool.h>

void lines_add_record(struct buffer *into, const struct tree_record *record);
void lines_add_end(struct buffer *into, uint64_t count, uint64_t revision);

struct line {
    bool is_end;
    struct node_bytes key, value;
    uint64_t revision;
    uint64_t count; /* of the end */
};

/* Takes a line apart; key and value are decoded where they stand in `text`. Members it does not
 * know are skipped. -EINVAL: it is no such line; *ret_why says what is missing or wrong. */
int line_parse(uint8_t *text, size_t length, struct line *ret_line, const char **ret_why);
