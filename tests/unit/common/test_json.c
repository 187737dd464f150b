#include "json.h"
#include "text.h"

#include "../unit.h"

#include <string.h>

static char room[4096];

static struct json_reader reader_of(const char *text)
{
    strcpy(room, text);
    return json_reader_of(room, strlen(text));
}

START_TEST(test_json_strings_are_decoded_to_their_bytes)
{
    static const struct {
        const char *text, *bytes;
        size_t length;
    } good[] = {
        {"\"\"", "", 0},
        {" \t\r\n\"a\"", "a", 1},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t", 8},
        {"\"a\\u0000b\"", "a\0b", 3},
        {"\"\\u00e9\\u20AC\"", "\xc3\xa9\xe2\x82\xac", 5},
        {"\"\\ud83d\\ude00\"", "\xf0\x9f\x98\x80", 4},
        {"\"\xc3\xa9\"", "\xc3\xa9", 2},
    };
    static const char *const bad[] = {
        "",
        "a",
        "\"",
        "\"a",
        "\"\\\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\\ud83d\"",
        "\"\\ude00\"",
        "\"\\ud83dx\"",
        "\"\n\"",
        "\"\xff\"",
        "\"\xc3\"",
        "\"\\ud83d\\u0041\"",
        "'a'",
    };
    struct json_text text;
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        struct json_reader reader = reader_of(good[i].text);
        ck_assert_msg(json_read_string(&reader, &text), "%s", good[i].text);
        ck_assert_uint_eq(text.length, good[i].length);
        ck_assert_mem_eq(text.bytes, good[i].bytes, good[i].length);
        ck_assert(json_finished(&reader));
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct json_reader reader = reader_of(bad[i]);
        ck_assert_msg(!json_read_string(&reader, &text), "%s", bad[i]);
    }
}
END_TEST

START_TEST(test_json_numbers_are_whole)
{
    static const char *const bad[] = {"", "-1", "01", "1e3x", "18446744073709551616", "x", "\"1\""};
    uint64_t number;
    struct json_reader reader = reader_of(" 18446744073709551615 ");
    ck_assert(json_read_number(&reader, &number) && json_finished(&reader));
    ck_assert_uint_eq(number, UINT64_MAX);
    reader = reader_of("0");
    ck_assert(json_read_number(&reader, &number) && number == 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        reader = reader_of(bad[i]);
        ck_assert_msg(!json_read_number(&reader, &number) || !json_finished(&reader), "%s", bad[i]);
    }
}
END_TEST

START_TEST(test_json_any_value_is_skipped)
{
    static const char *const good[] = {
        "null",
        "true",
        "false",
        "-0.5e+10",
        "0",
        "12",
        "\"a\\u0000\"",
        "[]",
        "{}",
        " [ 1 , [ ] ] ",
        "{\"a\":{\"b\":[1,2,{\"c\":null}]},\"d\":\"e\"}",
    };
    static const char *const bad[] = {
        "",
        "nul",
        "+1",
        "01",
        "1.",
        ".5",
        "1e",
        "[",
        "[1",
        "[1,]",
        "{",
        "{\"a\"}",
        "{\"a\":}",
        "{a:1}",
        "{\"a\":1,}",
        "]",
        "[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]",
        "1 2",
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        struct json_reader reader = reader_of(good[i]);
        ck_assert_msg(json_skip_value(&reader) && json_finished(&reader), "%s", good[i]);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct json_reader reader = reader_of(bad[i]);
        ck_assert_msg(!json_skip_value(&reader) || !json_finished(&reader), "%s", bad[i]);
    }
}
END_TEST

/* What is written is read again as it was: bytes of all kinds and lengths, at once and in pieces.
 */
START_TEST(test_json_bytes_come_back)
{
    uint32_t random = 1;
    for (unsigned round = 0; round < 3000; round++) {
        uint8_t bytes[64];
        struct buffer at_once = {0}, in_pieces = {0};
        struct json_text name, back;
        size_t length = round % sizeof(bytes);
        for (size_t i = 0; i < length; i++) {
            random = random * 1103515245u + 12345u;
            bytes[i] = (uint8_t)(random >> 16) & (round % 3 ? 0x7f : 0xff);
        }
        json_append_bytes(&at_once, "k", bytes, length);
        struct json_bytes member = json_bytes_begin(&in_pieces, "k", bytes, length);
        while (json_bytes_more(&member, &in_pieces, round % 7))
            ;
        ck_assert_uint_eq(at_once.length, in_pieces.length);
        ck_assert_mem_eq(at_once.bytes, in_pieces.bytes, at_once.length);
        struct json_reader reader = json_reader_of(at_once.bytes, at_once.length);
        ck_assert(json_read_string(&reader, &name) && json_take(&reader, ':'));
        bool is_text = json_text_is(&name, "k");
        ck_assert(is_text || json_text_is(&name, "k_base64"));
        ck_assert(is_text == utf8_is_valid(bytes, length));
        ck_assert(is_text ? json_read_string(&reader, &back) : json_read_base64(&reader, &back));
        ck_assert(json_finished(&reader));
        ck_assert_uint_eq(back.length, length);
        if (length)
            ck_assert_mem_eq(back.bytes, bytes, length);
        buffer_free(&at_once);
        buffer_free(&in_pieces);
    }
}
END_TEST

UNIT_MAIN("json", test_json_strings_are_decoded_to_their_bytes, test_json_numbers_are_whole,
          test_json_any_value_is_skipped, test_json_bytes_come_back)
