#include "../unit.h"

#include "outcome.h"
#include "url.h"
#include "word.h"

#include <errno.h>
#include <string.h>

static const struct {
    const char *line;
    unsigned count; /* 99: refused */
    const char *last;
    size_t last_bytes;
} lines[] = {
    {"", 0, NULL, 0},
    {"  get\tk  ", 2, "k", 1},
    {"put k 'a b'", 3, "a b", 3},
    {"put k \"a b\"", 3, "a b", 3},
    {"put k ''", 3, "", 0},
    {"put k a'b c'd", 3, "ab cd", 5},
    {"put k \\x00\\xff", 3, "\0\xff", 2},
    {"put k \"\\n\\t\\\\\\\"\"", 3, "\n\t\\\"", 4},
    {"put k '\\x41'", 3, "\\x41", 4},
    {"put k a\\ b", 3, "a b", 3},
    {"put k 'open", 99, NULL, 0},
    {"put k \"open", 99, NULL, 0},
    {"put k \\x4", 99, NULL, 0},
    {"put k \\q", 99, NULL, 0},
};

START_TEST(test_word_lines_are_cut_with_quotes_and_escapes)
{
    static struct word_list list;
    for (unsigned i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
        struct error error = {""};
        int code = word_split(&list, lines[i].line, strlen(lines[i].line), &error);
        ck_assert_msg((code != 0) == (lines[i].count == 99), "%s: %d %s", lines[i].line, code,
                      error.text);
        if (code)
            continue;
        ck_assert_msg(list.count == lines[i].count, "%s: %u words", lines[i].line, list.count);
        if (!list.count)
            continue;
        const struct word *last = &list.words[list.count - 1];
        ck_assert_msg(last->length == lines[i].last_bytes, "%s: %zu bytes", lines[i].line,
                      last->length);
        ck_assert_int_eq(memcmp(last->bytes, lines[i].last, last->length), 0);
    }
    word_list_free(&list);
}
END_TEST

START_TEST(test_outcome_a_write_is_sent_again_only_if_it_was_not_applied)
{
    ck_assert_int_eq(outcome_judge(OUTCOME_NOT_SENT, 0, true), VERDICT_NEXT);
    ck_assert_int_eq(outcome_judge(OUTCOME_BROKEN, 0, true), VERDICT_UNKNOWN);
    ck_assert_int_eq(outcome_judge(OUTCOME_BROKEN, 0, false), VERDICT_NEXT);
    ck_assert_int_eq(outcome_judge(OUTCOME_ANSWERED, 503, true), VERDICT_NEXT);
    ck_assert_int_eq(outcome_judge(OUTCOME_ANSWERED, 504, true),
                     VERDICT_DONE); /* shown, never sent again */
    ck_assert(outcome_is_unknown(504, true) && !outcome_is_unknown(503, true));
    ck_assert_int_eq(outcome_judge(OUTCOME_ANSWERED, 200, true), VERDICT_DONE);
    ck_assert_int_eq(outcome_judge(OUTCOME_ANSWERED, 412, true), VERDICT_DONE);
    ck_assert_int_eq(outcome_exit_code(200), 0);
    ck_assert_int_eq(outcome_exit_code(404), 3);
    ck_assert_int_eq(outcome_exit_code(412), 4);
    ck_assert_int_eq(outcome_exit_code(503), 5);
}
END_TEST

START_TEST(test_url_keys_are_encoded_and_servers_completed)
{
    struct buffer into = {0};
    struct url_servers servers;
    struct error error = {""};
    url_append_encoded(&into, "a/b +\0\xff", 7);
    ck_assert_uint_eq(into.length, 17);
    ck_assert_mem_eq(into.bytes, "a%2Fb%20%2B%00%FF", 17);
    buffer_free(&into);
    ck_assert_int_eq(url_parse_servers("http://h:1/,:8082,i:3", &servers, &error), 0);
    ck_assert_uint_eq(servers.count, 3);
    ck_assert_str_eq(servers.urls[0], "http://h:1");
    ck_assert_str_eq(servers.urls[1], "http://127.0.0.1:8082");
    ck_assert_str_eq(servers.urls[2], "http://i:3");
    ck_assert_int_eq(url_parse_servers("ftp://h", &servers, &error), -EINVAL);
}
END_TEST

START_TEST(test_word_escaped_is_read_back)
{
    static struct word_list list;
    struct error error = {""};
    struct buffer escaped = {0};
    char bytes[256];
    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)i;
    word_escape(bytes, sizeof(bytes), &escaped);
    ck_assert_int_eq(word_split(&list, (const char *)escaped.bytes, escaped.length, &error), 0);
    ck_assert_uint_eq(list.count, 1);
    ck_assert_uint_eq(list.words[0].length, sizeof(bytes));
    ck_assert_mem_eq(list.words[0].bytes, bytes, sizeof(bytes));
    buffer_free(&escaped);
    word_list_free(&list);
}
END_TEST

UNIT_MAIN("word", test_word_lines_are_cut_with_quotes_and_escapes, test_word_escaped_is_read_back,
          test_outcome_a_write_is_sent_again_only_if_it_was_not_applied,
          test_url_keys_are_encoded_and_servers_completed)
