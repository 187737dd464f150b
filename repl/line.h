/* Lines of JSON as servers write them for keys: of a scan, and of a watch's events. */
#pragma once

#include "command.h"
#include "json.h"

#include <stdbool.h>
#include <stdint.h>

struct line {
    struct json_text type; /* of an event: put or delete */
    struct json_text key, value, next;
    uint64_t revision, count;
    bool more;
    bool has_key, has_value, has_count, has_next;
};

/* Decodes where it stands in `text`. False: it is no such line. Members it does not know are
 * skipped. */
bool line_read(char *text, size_t length, struct line *ret_line);
/* `KEY`, or `KEY<tab>VALUE` as the options want the value, and a newline. */
void line_append(const struct invocation *invocation, const struct line *line, struct buffer *into);
