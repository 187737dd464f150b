#include "lines.h"

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

struct reader {
    uint8_t *at, *end;
};

static void skip_space(struct reader *reader)
{
    while (reader->at < reader->end && strchr(" \t\r\n", *reader->at) && *reader->at)
        reader->at++;
}

static bool take(struct reader *reader, char expected)
{
    skip_space(reader);
    if (reader->at == reader->end || *reader->at != (uint8_t)expected)
        return false;
    reader->at++;
    return true;
}

static bool read_hex4(struct reader *reader, uint32_t *ret_value)
{
    uint32_t value = 0;
    if (reader->end - reader->at < 4)
        return false;
    for (unsigned i = 0; i < 4; i++) {
        static const char digits[] = "0123456789abcdef";
        uint8_t byte = *reader->at++;
        const char *digit =
            byte ? strchr(digits, byte >= 'A' && byte <= 'F' ? byte + 32 : byte) : NULL;
        if (!digit)
            return false;
        value = value << 4 | (uint32_t)(digit - digits);
    }
    *ret_value = value;
    return true;
}

/* Behind "\u": one escape, or the two of a surrogate pair (RFC 8259, 7). */
static bool read_code_point(struct reader *reader, uint32_t *ret_value)
{
    uint32_t high, low;
    if (!read_hex4(reader, &high) || (high >= 0xdc00 && high < 0xe000))
        return false;
    if (high >= 0xd800 && high < 0xdc00) {
        if (reader->end - reader->at < 6 || reader->at[0] != '\\' || reader->at[1] != 'u')
            return false;
        reader->at += 2;
        if (!read_hex4(reader, &low) || low < 0xdc00 || low >= 0xe000)
            return false;
        high = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
    }
    *ret_value = high;
    return true;
}

static bool read_escape(struct reader *reader, uint8_t **into)
{
    static const char names[] = "\"\\/nrtbf", bytes[] = "\"\\/\n\r\t\b\f";
    if (reader->at == reader->end)
        return false;
    uint8_t name = *reader->at++;
    const char *found = name ? strchr(names, name) : NULL;
    if (found) {
        *(*into)++ = (uint8_t)bytes[found - names];
        return true;
    }
    uint32_t code_point;
    if (name != 'u' || !read_code_point(reader, &code_point))
        return false;
    *into += utf8_encode(code_point, *into); /* never longer than its escape */
    return true;
}

/* A string, decoded where it stands. */
static bool read_string(struct reader *reader, struct node_bytes *ret_string)
{
    if (!take(reader, '"'))
        return false;
    uint8_t *begin = reader->at, *into = begin;
    while (reader->at < reader->end && *reader->at != '"') {
        uint8_t byte = *reader->at++;
        if (byte < 0x20)
            return false;
        if (byte != '\\')
            *into++ = byte;
        else if (!read_escape(reader, &into))
            return false;
    }
    *ret_string = (struct node_bytes){begin, (size_t)(into - begin)};
    return take(reader, '"') && utf8_is_valid(begin, (size_t)(into - begin));
}

static bool read_number(struct reader *reader, uint64_t *ret_value)
{
    uint64_t value = 0;
    skip_space(reader);
    uint8_t *begin = reader->at;
    for (; reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9'; reader->at++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*reader->at - '0'), &value))
            return false;
    *ret_value = value;
    return reader->at > begin;
}

static bool skip_value(struct reader *reader)
{
    struct node_bytes text;
    skip_space(reader);
    if (reader->at < reader->end && *reader->at == '"')
        return read_string(reader, &text);
    uint8_t *begin = reader->at;
    while (reader->at < reader->end && strchr("+-.0123456789aeflnrstuE", *reader->at) &&
           *reader->at)
        reader->at++;
    return reader->at > begin;
}

enum member { HAS_KEY = 1, HAS_VALUE = 2, HAS_REVISION = 4, HAS_COUNT = 8 };

static bool is_named(struct node_bytes name, const char *expected)
{
    return name.length == strlen(expected) && !memcmp(name.bytes, expected, name.length);
}

static bool read_base64(struct reader *reader, struct node_bytes *ret_bytes)
{
    struct node_bytes text;
    skip_space(reader);
    uint8_t *begin = reader->at + 1; /* behind the quote, where read_string decodes to */
    if (!read_string(reader, &text))
        return false;
    ret_bytes->bytes = begin;
    return base64_decode(begin, text.length, &ret_bytes->length);
}

static bool read_member(struct reader *reader, struct node_bytes name, struct line *line,
                        unsigned *has)
{
    unsigned member = 0;
    bool read;
    if (is_named(name, "key") || is_named(name, "key_base64")) {
        member = HAS_KEY;
        read = name.length == 3 ? read_string(reader, &line->key) : read_base64(reader, &line->key);
    } else if (is_named(name, "value") || is_named(name, "value_base64")) {
        member = HAS_VALUE;
        read = name.length == 5 ? read_string(reader, &line->value)
                                : read_base64(reader, &line->value);
    } else if (is_named(name, "revision")) {
        member = HAS_REVISION;
        read = read_number(reader, &line->revision);
    } else if (is_named(name, "count")) {
        member = HAS_COUNT;
        read = read_number(reader, &line->count);
    } else {
        read = skip_value(reader);
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
    struct reader reader = {text, text + length};
    struct line line = {0};
    struct node_bytes name;
    unsigned has = 0;
    *ret_why = "it is no line of JSON with strings and numbers";
    if (!take(&reader, '{'))
        return -EINVAL;
    do {
        if (!read_string(&reader, &name) || !take(&reader, ':') ||
            !read_member(&reader, name, &line, &has))
            return -EINVAL;
    } while (take(&reader, ','));
    if (!take(&reader, '}'))
        return -EINVAL;
    skip_space(&reader);
    return reader.at == reader.end ? line_finish(&line, has, ret_line, ret_why) : -EINVAL;
}
