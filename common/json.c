#include "json.h"

#include "text.h"

#include <string.h>

#define DEPTH_MAX 16u

uint8_t json_peek(struct json_reader *reader)
{
    while (reader->at < reader->end && *reader->at && strchr(" \t\r\n", *reader->at))
        reader->at++;
    return reader->at < reader->end ? *reader->at : 0;
}

bool json_take(struct json_reader *reader, char byte)
{
    if (json_peek(reader) != (uint8_t)byte || reader->at == reader->end)
        return false;
    reader->at++;
    return true;
}

bool json_finished(struct json_reader *reader)
{
    (void)json_peek(reader);
    return reader->at == reader->end;
}

bool json_text_is(const struct json_text *text, const char *expected)
{
    return text->length == strlen(expected) && !memcmp(text->bytes, expected, text->length);
}

/* ---- strings ---- */

static bool read_hex4(struct json_reader *reader, uint32_t *ret_value)
{
    static const char digits[] = "0123456789abcdef";
    uint32_t value = 0;
    if (reader->end - reader->at < 4)
        return false;
    for (unsigned i = 0; i < 4; i++) {
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
static bool read_code_point(struct json_reader *reader, uint32_t *ret_value)
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

static bool read_escape(struct json_reader *reader, uint8_t **into)
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

bool json_read_string(struct json_reader *reader, struct json_text *ret_text)
{
    if (!json_take(reader, '"'))
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
    if (reader->at == reader->end)
        return false;
    reader->at++;
    *ret_text = (struct json_text){begin, (size_t)(into - begin)};
    return utf8_is_valid(begin, ret_text->length);
}

bool json_read_base64(struct json_reader *reader, struct json_text *ret_bytes)
{
    struct json_text text;
    (void)json_peek(reader);
    uint8_t *begin = reader->at + 1; /* behind the quote, where the string is decoded to */
    if (!json_read_string(reader, &text))
        return false;
    ret_bytes->bytes = begin;
    return base64_decode(begin, text.length, &ret_bytes->length);
}

/* ---- others ---- */

bool json_read_number(struct json_reader *reader, uint64_t *ret_number)
{
    uint64_t value = 0;
    (void)json_peek(reader);
    const uint8_t *begin = reader->at;
    for (; reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9'; reader->at++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*reader->at - '0'), &value))
            return false;
    *ret_number = value;
    return reader->at > begin && (reader->at == begin + 1 || *begin != '0');
}

static bool take_word(struct json_reader *reader, const char *word)
{
    size_t length = strlen(word);
    (void)json_peek(reader);
    if ((size_t)(reader->end - reader->at) < length || memcmp(reader->at, word, length) != 0)
        return false;
    reader->at += length;
    return true;
}

bool json_read_bool(struct json_reader *reader, bool *ret_yes)
{
    *ret_yes = json_peek(reader) == 't';
    return take_word(reader, *ret_yes ? "true" : "false");
}

static bool skip_digits(struct json_reader *reader)
{
    const uint8_t *begin = reader->at;
    while (reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9')
        reader->at++;
    return reader->at > begin;
}

static bool skip_one_of(struct json_reader *reader, const char *bytes)
{
    bool is_there = reader->at < reader->end && *reader->at && strchr(bytes, *reader->at);
    reader->at += is_there;
    return is_there;
}

/* RFC 8259, 6. */
static bool skip_number(struct json_reader *reader)
{
    (void)skip_one_of(reader, "-");
    if (!skip_one_of(reader, "0") && !skip_digits(reader))
        return false;
    if (skip_one_of(reader, ".") && !skip_digits(reader))
        return false;
    if (!skip_one_of(reader, "eE"))
        return true;
    (void)skip_one_of(reader, "+-");
    return skip_digits(reader);
}

static bool skip_nested(struct json_reader *reader, unsigned depth);

static bool skip_members(struct json_reader *reader, char end, unsigned depth)
{
    struct json_text name;
    reader->at++;
    if (json_take(reader, end))
        return true;
    do {
        if (end == '}' && (!json_read_string(reader, &name) || !json_take(reader, ':')))
            return false;
        if (!skip_nested(reader, depth + 1))
            return false;
    } while (json_take(reader, ','));
    return json_take(reader, end);
}

static bool skip_nested(struct json_reader *reader, unsigned depth)
{
    struct json_text text;
    if (depth > DEPTH_MAX)
        return false;
    switch (json_peek(reader)) {
    case '{':
        return skip_members(reader, '}', depth);
    case '[':
        return skip_members(reader, ']', depth);
    case '"':
        return json_read_string(reader, &text);
    case 't':
        return take_word(reader, "true");
    case 'f':
        return take_word(reader, "false");
    case 'n':
        return take_word(reader, "null");
    default:
        return skip_number(reader);
    }
}

bool json_skip_value(struct json_reader *reader)
{
    return skip_nested(reader, 1);
}
