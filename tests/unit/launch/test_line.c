#include "../unit.h"

#include "line.h"

#include <string.h>

static struct line_splitter splitter;
static char got[4 * LAUNCH_LINE_BYTES_MAX];
static size_t got_length;

/* Lines end as "|" here. */
static void on_line(void *context, const char *line, size_t length)
{
    (void)context;
    ck_assert_uint_le(length, LAUNCH_LINE_BYTES_MAX);
    memcpy(got + got_length, line, length);
    got_length += length;
    got[got_length++] = '|';
    got[got_length] = '\0';
}

static const char *feed(const char *text)
{
    got_length = 0;
    got[0] = '\0';
    line_feed(&splitter, text, strlen(text), on_line, NULL);
    return got;
}

START_TEST(test_line_splits_and_keeps_the_rest)
{
    ck_assert_str_eq(feed("one\ntwo\nth"), "one|two|");
    ck_assert_str_eq(feed("ree"), "");
    ck_assert_str_eq(feed("\n\n"), "three||");
    ck_assert_str_eq(feed(""), "");
}
END_TEST

START_TEST(test_line_flush_hands_out_what_has_no_end)
{
    ck_assert_str_eq(feed("a\nlast words"), "a|");
    line_flush(&splitter, on_line, NULL);
    ck_assert_str_eq(got, "a|last words|");
    line_flush(&splitter, on_line, NULL);
    ck_assert_str_eq(got, "a|last words|");
    ck_assert_str_eq(feed("b\n"), "b|");
}
END_TEST

/* Every length around the limit, fed whole and byte by byte: the same pieces, nothing lost. */
START_TEST(test_line_too_long_comes_in_pieces)
{
    static char text[LAUNCH_LINE_BYTES_MAX + 8], whole[sizeof(got)];
    for (size_t length = LAUNCH_LINE_BYTES_MAX - 2; length < LAUNCH_LINE_BYTES_MAX + 3; length++) {
        memset(text, 'x', length);
        memcpy(text + length, "\nz\n", 4);
        strcpy(whole, feed(text));
        ck_assert_uint_eq(strspn(whole, "x"),
                          length < LAUNCH_LINE_BYTES_MAX ? length : LAUNCH_LINE_BYTES_MAX);
        ck_assert_uint_eq(strlen(whole), length + 3 + (length > LAUNCH_LINE_BYTES_MAX));
        got_length = 0;
        for (size_t i = 0; text[i]; i++)
            line_feed(&splitter, text + i, 1, on_line, NULL);
        ck_assert_str_eq(got, whole);
    }
}
END_TEST

UNIT_MAIN("launch/line", test_line_splits_and_keeps_the_rest,
          test_line_flush_hands_out_what_has_no_end, test_line_too_long_comes_in_pieces)
