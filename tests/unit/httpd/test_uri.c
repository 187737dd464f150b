#include "uri.h"

#include "../unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static uint8_t scratch[4096];

static int parse(const char *target, struct uri *uri, struct error *error)
{
    return uri_parse(target, strlen(target), scratch, uri, error);
}

START_TEST(test_uri_decode_table)
{
    static const struct {
        const char *text;
        bool is_query;
        const char *bytes; /* NULL: refused */
        size_t length;
    } cases[] = {
        {"", true, "", 0},
        {"plain", true, "plain", 5},
        {"a%2Fb", false, "a/b", 3},
        {"a%2fb", false, "a/b", 3},
        {"%00", true, "\0", 1},
        {"a%00b%00", true, "a\0b\0", 4},
        {"%41%42", true, "AB", 2},
        {"%2541", true, "%41", 3}, /* once, not twice */
        {"%252541", true, "%2541", 5},
        {"a+b", true, "a b", 3},
        {"a+b", false, "a+b", 3},
        {"a%2Bb", true, "a+b", 3},
        {"%C3%A9", true, "\xc3\xa9", 2},
        {"%c0%af", true, "\xc0\xaf", 2}, /* overlong UTF-8 is just bytes */
        {"\xff\xfe", true, "\xff\xfe", 2},
        {"%ff", true, "\xff", 1},
        {"%", true, NULL, 0},
        {"a%", true, NULL, 0},
        {"%4", true, NULL, 0},
        {"a%4", true, NULL, 0},
        {"%zz", true, NULL, 0},
        {"%4z", true, NULL, 0},
        {"%z4", true, NULL, 0},
        {"%%41", true, NULL, 0},
        {"%-1", true, NULL, 0},
        {"% 1", true, NULL, 0},
        {"%0x", true, NULL, 0},
        {"%u0041", true, NULL, 0},
    };
    for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        uint8_t into[64];
        size_t length = 99;
        int code = uri_decode((const uint8_t *)cases[i].text, strlen(cases[i].text),
                              cases[i].is_query, into, &length);
        if (!cases[i].bytes) {
            ck_assert_msg(code == -EINVAL, "'%s' was taken", cases[i].text);
            ck_assert_uint_eq(length, 99); /* untouched */
            continue;
        }
        ck_assert_msg(code == 0, "'%s' was refused", cases[i].text);
        ck_assert_uint_eq(length, cases[i].length);
        ck_assert_mem_eq(into, cases[i].bytes, length);
    }
}
END_TEST

/* Every byte value, escaped in both cases, comes back as itself. */
START_TEST(test_uri_decode_every_byte)
{
    static const char *const formats[] = {"%%%02x", "%%%02X"};
    for (unsigned format = 0; format < 2; format++)
        for (unsigned byte = 0; byte < 256; byte++) {
            char text[4];
            uint8_t into[4];
            size_t length;
            snprintf(text, sizeof(text), formats[format], byte);
            ck_assert_int_eq(uri_decode((uint8_t *)text, 3, true, into, &length), 0);
            ck_assert_uint_eq(length, 1);
            ck_assert_uint_eq(into[0], byte);
        }
}
END_TEST

/* The decoder looks at no byte behind the end, whatever stands there. */
START_TEST(test_uri_decode_escape_across_end_is_refused)
{
    uint8_t into[4];
    size_t length;
    ck_assert_int_eq(uri_decode((const uint8_t *)"%41", 2, true, into, &length), -EINVAL);
    ck_assert_int_eq(uri_decode((const uint8_t *)"%41", 1, true, into, &length), -EINVAL);
}
END_TEST

START_TEST(test_uri_parse_splits_and_decodes)
{
    struct uri uri;
    struct error error;
    ck_assert_int_eq(parse("/kv/a%2Fb?key=%00+x&stale&value=a=b", &uri, &error), 0);
    ck_assert_uint_eq(uri.path_bytes, strlen("/kv/a%2Fb"));
    ck_assert_uint_eq(uri.parameters_count, 3);
    const struct uri_parameter *key = uri_find(&uri, "key");
    ck_assert_ptr_nonnull(key);
    ck_assert_uint_eq(key->value_bytes, 3);
    ck_assert_mem_eq(key->value, "\0 x", 3);
    const struct uri_parameter *stale = uri_find(&uri, "stale");
    ck_assert_ptr_nonnull(stale);
    ck_assert(!stale->has_value);
    ck_assert_uint_eq(stale->value_bytes, 0);
    ck_assert(uri_value_is(uri_find(&uri, "value"), "a=b"));
    ck_assert_ptr_null(uri_find(&uri, "ke"));
    ck_assert_ptr_null(uri_find(&uri, "keys"));
}
END_TEST

START_TEST(test_uri_parse_nothing_behind_the_mark_is_no_parameter)
{
    struct uri uri;
    struct error error;
    ck_assert_int_eq(parse("/status?", &uri, &error), 0);
    ck_assert_uint_eq(uri.parameters_count, 0);
    ck_assert_uint_eq(uri.path_bytes, 7);
}
END_TEST

START_TEST(test_uri_parse_refusals)
{
    static const struct {
        const char *target;
        const char *reason; /* a part of it */
    } cases[] = {
        {"/kv?key=%zz", "'key' is not well percent-encoded"},
        {"/kv?k%=1", "name is not well percent-encoded"},
        {"/kv?key=a&key=b", "'key' is given twice"},
        {"/kv?key=a&k%65y=b", "'key' is given twice"},
        {"/kv?key=a&", "empty parameter"},
        {"/kv?&key=a", "empty parameter"},
        {"/kv?a&&b", "empty parameter"},
        {"/kv?a&b&c&d&e&f&g&h&i&j&k&l&m", "more than 12"},
    };
    for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct uri uri;
        struct error error = {""};
        ck_assert_msg(parse(cases[i].target, &uri, &error) == -EINVAL, "'%s' was taken",
                      cases[i].target);
        ck_assert_msg(strstr(error.text, cases[i].reason) != NULL, "'%s': %s", cases[i].target,
                      error.text);
    }
}
END_TEST

START_TEST(test_uri_find_unknown_names_the_first)
{
    static const char *const known[] = {"key", "stale", NULL};
    struct uri uri;
    struct error error;
    ck_assert_int_eq(parse("/kv?key=a&stale=1", &uri, &error), 0);
    ck_assert_ptr_null(uri_find_unknown(&uri, known));
    ck_assert_int_eq(parse("/kv?key=a&stail=1&x", &uri, &error), 0);
    const struct uri_parameter *unknown = uri_find_unknown(&uri, known);
    ck_assert_ptr_nonnull(unknown);
    ck_assert_uint_eq(unknown->name_bytes, 5);
    ck_assert_mem_eq(unknown->name, "stail", 5);
}
END_TEST

UNIT_MAIN("uri", test_uri_decode_table, test_uri_decode_every_byte,
          test_uri_decode_escape_across_end_is_refused, test_uri_parse_splits_and_decodes,
          test_uri_parse_nothing_behind_the_mark_is_no_parameter, test_uri_parse_refusals,
          test_uri_find_unknown_names_the_first)
