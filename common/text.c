#include "text.h"

#include <string.h>

bool text_read_number(const void *bytes, size_t length, uint64_t *ret_number)
{
    const uint8_t *digits = bytes;
    uint64_t number = 0;
    for (size_t i = 0; i < length; i++)
        if (digits[i] < '0' || digits[i] > '9' || __builtin_mul_overflow(number, 10u, &number) ||
            __builtin_add_overflow(number, (uint64_t)(digits[i] - '0'), &number))
            return false;
    *ret_number = number;
    return length > 0;
}

static void append(struct buffer *into, const char *text)
{
    buffer_append(into, text, strlen(text));
}

/* ---- UTF-8 ---- */

size_t utf8_length(const uint8_t *bytes, size_t left)
{
    static const struct {
        uint8_t first_min, first_max, second_min, second_max, length;
    } forms[] = {
        {0x00, 0x7f, 0x00, 0x00, 1}, {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++) {
        if (bytes[0] < forms[i].first_min || bytes[0] > forms[i].first_max)
            continue;
        if (left < forms[i].length)
            return 0;
        for (size_t j = 1; j < forms[i].length; j++) {
            uint8_t low = j == 1 ? forms[i].second_min : 0x80;
            uint8_t high = j == 1 ? forms[i].second_max : 0xbf;
            if (bytes[j] < low || bytes[j] > high)
                return 0;
        }
        return forms[i].length;
    }
    return 0;
}

/* ASCII eight bytes at a time: most of what is stored. */
static size_t ascii_length(const uint8_t *bytes, size_t length)
{
    size_t at = 0;
    for (uint64_t eight; at + sizeof(eight) <= length; at += sizeof(eight)) {
        memcpy(&eight, bytes + at, sizeof(eight));
        if (eight & 0x8080808080808080u)
            break;
    }
    while (at < length && bytes[at] < 0x80)
        at++;
    return at;
}

bool utf8_is_valid(const uint8_t *bytes, size_t length)
{
    for (size_t at = ascii_length(bytes, length); at < length;
         at += ascii_length(bytes + at, length - at)) {
        size_t taken = utf8_length(bytes + at, length - at);
        if (taken == 0)
            return false;
        at += taken;
    }
    return true;
}

size_t utf8_encode(uint32_t code_point, uint8_t into[4])
{
    static const uint8_t first[] = {0, 0, 0xc0, 0xe0, 0xf0};
    size_t length = code_point < 0x80 ? 1 : code_point < 0x800 ? 2 : code_point < 0x10000 ? 3 : 4;
    for (size_t i = length; i-- > 1; code_point >>= 6)
        into[i] = (uint8_t)(0x80 | (code_point & 0x3f));
    into[0] = (uint8_t)(first[length] | code_point);
    return length;
}

/* ---- base64 ---- */

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_append(struct buffer *into, const uint8_t *bytes, size_t length)
{
    for (size_t at = 0; at < length; at += 3) {
        size_t left = length - at;
        uint32_t group = (uint32_t)bytes[at] << 16;
        if (left > 1)
            group |= (uint32_t)bytes[at + 1] << 8;
        if (left > 2)
            group |= bytes[at + 2];
        char four[4] = {letters[group >> 18], letters[group >> 12 & 63],
                        left > 1 ? letters[group >> 6 & 63] : '=',
                        left > 2 ? letters[group & 63] : '='};
        buffer_append(into, four, sizeof(four));
    }
}

static int letter_value(uint8_t letter)
{
    if (letter >= 'A' && letter <= 'Z')
        return letter - 'A';
    if (letter >= 'a' && letter <= 'z')
        return letter - 'a' + 26;
    if (letter >= '0' && letter <= '9')
        return letter - '0' + 52;
    return letter == '+' ? 62 : letter == '/' ? 63 : -1;
}

bool base64_decode(uint8_t *text, size_t length, size_t *ret_length)
{
    uint32_t bits = 0, bits_count = 0;
    size_t written = 0, digits = length;
    if (length % 4)
        return false;
    for (size_t i = 0; i < 2 && digits > 0 && text[digits - 1] == '='; i++)
        digits--;
    for (size_t at = 0; at < digits; at++) {
        int value = letter_value(text[at]);
        if (value < 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
        bits_count += 6;
        if (bits_count >= 8) {
            bits_count -= 8;
            text[written++] = (uint8_t)(bits >> bits_count);
            bits &= (1u << bits_count) - 1;
        }
    }
    if (bits)
        return false;
    *ret_length = written;
    return true;
}

/* ---- JSON ---- */

static bool is_plain(uint8_t byte)
{
    return byte >= 0x20 && byte != 0x7f && byte != '"' && byte != '\\';
}

static void append_json_escape(struct buffer *into, uint8_t byte)
{
    static const char names[] = "\"\\\n\r\t\b\f", escapes[] = "\"\\nrtbf",
                      hex[] = "0123456789abcdef";
    const char *name = byte ? strchr(names, byte) : NULL;
    char pair[2] = {'\\', name ? escapes[name - names] : 0};
    char escape[6] = {'\\', 'u', '0', '0', hex[byte >> 4], hex[byte & 15]};
    if (name)
        buffer_append(into, pair, sizeof(pair));
    else
        buffer_append(into, escape, sizeof(escape));
}

static void append_json_text(struct buffer *into, const uint8_t *bytes, size_t length)
{
    for (size_t at = 0; at < length;) {
        size_t end = at;
        while (end < length && is_plain(bytes[end]))
            end++;
        buffer_append(into, bytes + at, end - at);
        if (end < length)
            append_json_escape(into, bytes[end++]);
        at = end;
    }
}

struct json_bytes json_bytes_begin(struct buffer *into, const char *name, const uint8_t *bytes,
                                   size_t length)
{
    struct json_bytes member = {bytes, length, utf8_is_valid(bytes, length)};
    append(into, "\"");
    append(into, name);
    append(into, member.is_text ? "\":\"" : "_base64\":\"");
    return member;
}

bool json_bytes_more(struct json_bytes *member, struct buffer *into, size_t bytes_max)
{
    size_t length = bytes_max / 3 * 3 + 3; /* base64 goes by threes */
    if (length > member->left)
        length = member->left;
    if (member->is_text)
        append_json_text(into, member->bytes, length);
    else
        base64_append(into, member->bytes, length);
    member->bytes += length;
    member->left -= length;
    if (!member->left)
        append(into, "\"");
    return member->left > 0;
}

void json_append_bytes(struct buffer *into, const char *name, const uint8_t *bytes, size_t length)
{
    struct json_bytes member = json_bytes_begin(into, name, bytes, length);
    (void)json_bytes_more(&member, into, length);
}
