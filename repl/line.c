#include "line.h"

#include "display.h"

#include <stdio.h>

static bool read_text(struct json_reader *reader, const struct json_text *name, const char *wanted,
                      struct json_text *into, bool *ret_read)
{
    char coded[32];
    snprintf(coded, sizeof(coded), "%s_base64", wanted);
    if (json_text_is(name, wanted))
        *ret_read = json_read_string(reader, into);
    else if (json_text_is(name, coded))
        *ret_read = json_read_base64(reader, into);
    else
        return false;
    return true;
}

static bool read_member(struct json_reader *reader, const struct json_text *name, struct line *line)
{
    bool read = false;
    if (json_peek(reader) == 'n')
        return json_skip_value(reader);
    if (read_text(reader, name, "key", &line->key, &read))
        line->has_key = true;
    else if (read_text(reader, name, "value", &line->value, &read))
        line->has_value = true;
    else if (read_text(reader, name, "next", &line->next, &read))
        line->has_next = true;
    else if (json_text_is(name, "type"))
        read = json_read_string(reader, &line->type);
    else if (json_text_is(name, "revision"))
        read = json_read_number(reader, &line->revision);
    else if (json_text_is(name, "count"))
        read = line->has_count = json_read_number(reader, &line->count);
    else if (json_text_is(name, "more"))
        read = json_read_bool(reader, &line->more);
    else
        read = json_skip_value(reader);
    return read;
}

bool line_read(char *text, size_t length, struct line *ret_line)
{
    struct json_reader reader = json_reader_of(text, length);
    struct json_text name;
    *ret_line = (struct line){.more = false};
    if (!json_take(&reader, '{'))
        return false;
    do {
        if (!json_read_string(&reader, &name) || !json_take(&reader, ':') ||
            !read_member(&reader, &name, ret_line))
            return false;
    } while (json_take(&reader, ','));
    return json_take(&reader, '}') && json_finished(&reader);
}

void line_append(const struct invocation *invocation, const struct line *line, struct buffer *into)
{
    enum display_format format = invocation->options->format;
    const char *key = (const char *)line->key.bytes, *value = (const char *)line->value.bytes;
    if (format == FORMAT_RAW)
        buffer_append(into, key, line->key.length);
    else
        display_append_escaped(key, line->key.length, false, into);
    if (line->has_value) {
        display_append_text(into, "\t");
        if (format == FORMAT_FITTING)
            display_append_escaped(value, line->value.length, false, into);
        else
            display_append_bytes(format, value, line->value.length, into);
    }
    display_append_text(into, "\n");
}
