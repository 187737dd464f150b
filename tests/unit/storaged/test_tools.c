#include "fixture.h"

#include "lines.h"
#include "tools.h"

#include <errno.h>

#define OTHER_FILE "other.db"

static char *dump_text(const char *path)
{
    char *text = NULL;
    size_t bytes;
    struct error error = {""};
    FILE *out = open_memstream(&text, &bytes);
    ck_assert_msg(tools_dump(path, out, NULL, NULL, &error) == 0, "%s", error.text);
    fclose(out);
    return text;
}

static int load_text(const char *path, const char *text, struct error *error)
{
    FILE *in = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
    int code = tools_load(path, in, NULL, NULL, error);
    fclose(in);
    return code;
}

START_TEST(test_tools_dump_looks_like_a_scan)
{
    enter_folder();
    struct store *store = open_store();
    (void)put(store, "a", 1, "one", 3);
    (void)put(store, "b\"\n", 3, "\xff\x00z", 3);
    (void)put(store, "c\0d", 3, "", 0);
    (void)put(store, "\xfe", 1, "\xc3\xa9", 2);
    checkpoint(store);
    store_close(store);
    char *text = dump_text(TREE_FILE);
    ck_assert_str_eq(text, "{\"key\":\"a\",\"value\":\"one\",\"revision\":1}\n"
                           "{\"key\":\"b\\\"\\n\",\"value_base64\":\"/wB6\",\"revision\":2}\n"
                           "{\"key\":\"c\\u0000d\",\"value\":\"\",\"revision\":3}\n"
                           "{\"key_base64\":\"/g==\",\"value\":\"\xc3\xa9\",\"revision\":4}\n"
                           "{\"count\":4,\"more\":false,\"revision\":4}\n");
    free(text);
    leave_folder();
}
END_TEST

/* Random bytes, keys with long common beginnings, values of all sizes; the loaded file is packed,
 * clean, of the same state, and can be written to. */
START_TEST(test_tools_load_makes_the_same_store_again)
{
    struct error error = {""};
    struct store_status before, after;
    enter_folder();
    random_state = 99;
    struct store *store = open_store();
    for (unsigned i = 0; i < 6000; i++) {
        uint8_t key[LIMIT_KEY_BYTES_CAP];
        size_t key_bytes = i % 50 == 0 ? 900 + random_next() % 124 : 3 + random_next() % 30;
        memset(key, (int)(random_next() % 3), key_bytes);
        key[key_bytes - 1] = (uint8_t)random_next();
        key[key_bytes - 2] = (uint8_t)random_next();
        size_t value_bytes = i % 40 == 0 ? random_next() % 40000 : random_next() % 300;
        fill_value(value, value_bytes, (uint32_t)random_next());
        (void)put(store, key, key_bytes, value, value_bytes);
    }
    checkpoint(store);
    store_fill_status(store, &before);
    store_close(store);
    char *text = dump_text(TREE_FILE);
    ck_assert_msg(load_text(OTHER_FILE, text, &error) == 0, "%s", error.text);
    ck_assert_int_eq(access(OTHER_FILE ".new", F_OK), -1);
    char *again = dump_text(OTHER_FILE);
    ck_assert_str_eq(text, again);
    ck_assert_msg(verify_file(OTHER_FILE, report, NULL, NULL, &error) == 0, "%s", error.text);
    ck_assert_int_eq(store_open(&store, OTHER_FILE, &error), 0);
    store_fill_status(store, &after);
    ck_assert_mem_eq(before.state_hash, after.state_hash, 16);
    ck_assert_uint_eq(before.applied_index, after.applied_index);
    ck_assert_uint_lt(after.file_bytes, before.file_bytes);
    for (unsigned i = 0; i < 500; i++)
        (void)put(store, &i, sizeof(i), "more", 4);
    checkpoint(store);
    store_close(store);
    ck_assert_msg(verify_file(OTHER_FILE, report, NULL, NULL, &error) == 0, "%s", error.text);
    free(text);
    free(again);
    leave_folder();
}
END_TEST

START_TEST(test_tools_load_of_nothing_is_an_empty_store)
{
    struct error error = {""};
    enter_folder();
    ck_assert_int_eq(load_text(TREE_FILE, "{\"count\":0,\"more\":false,\"revision\":7}\n", &error),
                     0);
    check_clean();
    struct store *store = open_store();
    ck_assert_uint_eq(store_applied_index(store), 7);
    store_close(store);
    leave_folder();
}
END_TEST

#define GOOD "{\"key\":\"b\",\"value\":\"\",\"revision\":1}\n"
#define END "{\"count\":1,\"revision\":1}\n"

START_TEST(test_tools_load_refuses_wrong_lines_and_leaves_nothing)
{
    static const struct {
        const char *text, *error;
    } cases[] = {
        {GOOD "x\n", "line 2: it is no line of JSON with strings and numbers"},
        {GOOD GOOD, "line 2: its key is not greater than the one before"},
        {GOOD, "the end is missing: the input was cut after line 1"},
        {GOOD END GOOD, "line 3: it comes after the end"},
        {END, "0 records came, the end says 1"},
        {"{\"key\":\"\",\"value\":\"\",\"revision\":1}\n", "line 1: its key is empty"},
        {"{\"value\":\"\",\"revision\":1}\n", "line 1: it has no key"},
        {"{\"key\":\"a\",\"revision\":1}\n", "line 1: it has no value"},
        {"{\"key\":\"a\",\"value\":\"\"}\n", "line 1: it has no revision"},
        {"{\"key\":\"a\",\"key\":\"a\",\"value\":\"\",\"revision\":1}\n",
         "line 1: it is no line of JSON with strings and numbers"},
        {"{\"key_base64\":\"YQ\",\"value\":\"\",\"revision\":1}\n",
         "line 1: it is no line of JSON with strings and numbers"},
        {"{\"key\":\"\\ud800\",\"value\":\"\",\"revision\":1}\n",
         "line 1: it is no line of JSON with strings and numbers"},
        {"{\"key\":\"a\",\"value\":\"\",\"revision\":99999999999999999999}\n",
         "line 1: it is no line of JSON with strings and numbers"},
    };
    enter_folder();
    for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct error error = {""};
        ck_assert_int_eq(load_text(TREE_FILE, cases[i].text, &error), TOOLS_CUT);
        ck_assert_str_eq(error.text, cases[i].error);
        ck_assert_int_eq(access(TREE_FILE, F_OK), -1);
        ck_assert_int_eq(access(TREE_FILE ".new", F_OK), -1);
    }
    struct error error = {""};
    ck_assert_int_eq(load_text(TREE_FILE, GOOD END, &error), 0);
    ck_assert_int_eq(load_text(TREE_FILE, GOOD END, &error), -EEXIST);
    leave_folder();
}
END_TEST

START_TEST(test_lines_escapes_and_spaces_are_understood)
{
    char text[] = " { \"revision\" : 12 , \"extra\":null, \"key\":\"\\u00e9\\ud83d\\ude00\\/\" ,"
                  "\"value_base64\":\"AP8=\" } \r\n";
    struct line line;
    const char *why;
    ck_assert_int_eq(line_parse((uint8_t *)text, strlen(text), &line, &why), 0);
    ck_assert(!line.is_end);
    ck_assert_uint_eq(line.revision, 12);
    ck_assert_uint_eq(line.key.length, 7);
    ck_assert_mem_eq(line.key.bytes, "\xc3\xa9\xf0\x9f\x98\x80/", 7);
    ck_assert_uint_eq(line.value.length, 2);
    ck_assert_mem_eq(line.value.bytes, "\0\xff", 2);
}
END_TEST

START_TEST(test_tools_stat_counts)
{
    char *text = NULL;
    size_t bytes;
    struct error error = {""};
    enter_folder();
    struct store *store = open_store();
    (void)put(store, "a", 1, "one", 3);
    memset(value, 'v', sizeof(value));
    (void)put(store, "b", 1, value, 10000);
    checkpoint(store);
    store_close(store);
    FILE *out = open_memstream(&text, &bytes);
    ck_assert_int_eq(tools_stat(TREE_FILE, out, &error), 0);
    fclose(out);
    ck_assert_ptr_nonnull(strstr(text, "keys                 2\n"));
    ck_assert_ptr_nonnull(strstr(text, "pages_leaf           1\n"));
    ck_assert_ptr_nonnull(strstr(text, "pages_overflow       3\n"));
    ck_assert_ptr_nonnull(strstr(text, "value_bytes          10003\n"));
    free(text);
    leave_folder();
}
END_TEST

UNIT_MAIN("tools", test_tools_dump_looks_like_a_scan, test_tools_load_makes_the_same_store_again,
          test_tools_load_of_nothing_is_an_empty_store,
          test_tools_load_refuses_wrong_lines_and_leaves_nothing,
          test_lines_escapes_and_spaces_are_understood, test_tools_stat_counts)
