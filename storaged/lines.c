#include "lines.h"

#include "json.h"
#include "text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

void lines_add_record(struct buffer *into, const struct tree_record *record)
{
    char tail[48];
    buffer_append(into, "{", 1);
    json_append_bytes(into, "key", record->key.bytes, record->key.length);
    buffer_append(into, ",", 1);
    json_append_bytes(into, "value", record->value.bytes, record->value.length);
    int length =
        snprintf(tail, sizeof(tail), ",\"revision\":%llu}\n", (unsigned long long)record->revision);
    buffer_append(into, tail, (size_t)length);
}

void lines_add_end(struct buffer *into, uint64_t count, uint64_t revision)
{
    char line[96];
    int length = snprintf(line, sizeof(line), "{\"count\":%llu,\"more\":false,\"revision\":%llu}\n",
                          (unsigned long long)count, (unsigned long long)revision);
    buffer_append(into, line, (size_t)length);
}

/* ---- reading ---- */

enum member { HAS_KEY = 1, HAS_VALUE = 2, HAS_REVISION = 4, HAS_COUNT = 8 };

static struct node_bytes bytes_of(struct json_text text)
{
    return (struct node_bytes){text.bytes, text.length};
}

static bool read_member(struct json_reader *reader, const struct json_text *name, struct line *line,
                        unsigned *has)
{
    unsigned member = 0;
    struct json_text text = {NULL, 0};
    bool read;
    if (json_text_is(name, "key") || json_text_is(name, "key_base64")) {
        member = HAS_KEY;
        read =
            name->length == 3 ? json_read_string(reader, &text) : json_read_base64(reader, &text);
        line->key = bytes_of(text);
    } else if (json_text_is(name, "value") || json_text_is(name, "value_base64")) {
        member = HAS_VALUE;
        read =
            name->length == 5 ? json_read_string(reader, &text) : json_read_base64(reader, &text);
        line->value = bytes_of(text);
    } else if (json_text_is(name, "revision")) {
        member = HAS_REVISION;
        read = json_read_number(reader, &line->revision);
    } else if (json_text_is(name, "count")) {
        member = HAS_COUNT;
        read = json_read_number(reader, &line->count);
    } else {
        read = json_skip_value(reader);
    }
    if (*has & member)
        return false; /* twice */
    *has |= member;
    return read;
}

static int line_finish(struct line *line, unsigned has, struct line *ret_line, const char **ret_why)
{
    line->is_end = has & HAS_COUNT;
    *ret_why = !(has & HAS_REVISION)                        ? "it has no revision"
               : line->is_end                               ? NULL
               : !(has & HAS_KEY)                           ? "it has no key"
               : !(has & HAS_VALUE)                         ? "it has no value"
               : line->key.length == 0                      ? "its key is empty"
               : line->key.length > LIMIT_KEY_BYTES_CAP     ? "its key is too long"
               : line->value.length > LIMIT_VALUE_BYTES_CAP ? "its value is too long"
                                                            : NULL;
    if (*ret_why)
        return -EINVAL;
    *ret_line = *line;
    return 0;
}

int line_parse(uint8_t *text, size_t length, struct line *ret_line, const char **ret_why)
{
    struct json_reader reader = json_reader_of(text, length);
    struct line line = {0};
    struct json_text name;
    unsigned has = 0;
    *ret_why = "it is no line of JSON with strings and numbers";
    if (!json_take(&reader, '{'))
        return -EINVAL;
    do {
        if (!json_read_string(&reader, &name) || !json_take(&reader, ':') ||
            !read_member(&reader, &name, &line, &has))
            return -EINVAL;
    } while (json_take(&reader, ','));
    if (!json_take(&reader, '}') || !json_finished(&reader))
        return -EINVAL;
    return line_finish(&line, has, ret_line, ret_why);
}
