#include "range.h"

#include "../unit.h"

#include <stdio.h>
#include <string.h>

static uint8_t scratch[LIMIT_HTTP_URI_BYTES_MAX];
static struct range range;
static struct problem problem;

static int read_query(const char *query)
{
    static char target[LIMIT_HTTP_URI_BYTES_MAX];
    struct uri uri;
    struct error error;
    snprintf(target, sizeof(target), "/kv?%s", query);
    ck_assert_msg(!uri_parse(target, strlen(target), scratch, &uri, &error), "%s", error.text);
    ck_assert(range_is_asked(&uri));
    return range_read(&uri, &range, &problem);
}

static void assert_bytes(const uint8_t *bytes, size_t length, const char *expected)
{
    ck_assert_uint_eq(length, strlen(expected));
    if (length)
        ck_assert_mem_eq(bytes, expected, length);
}

static void assert_range(const char *query, const char *start, const char *end)
{
    ck_assert_msg(read_query(query) == 0, "%s: %s", query, problem.detail);
    assert_bytes(range.open.start, range.open.start_bytes, start);
    assert_bytes(range.open.end, range.open.end_bytes, end);
}

START_TEST(test_range_is_from_start_to_before_end)
{
    assert_range("prefix=", "", "");
    assert_range("prefix=a", "a", "b");
    assert_range("prefix=a%ff", "a\xff", "b");
    assert_range("prefix=%ff%ff", "\xff\xff", "");
    assert_range("prefix=a%ffb",
                 "a\xff"
                 "b",
                 "a\xff"
                 "c");
    assert_range("start=a&end=c", "a", "c");
    assert_range("start=&end=", "", "");
    assert_range("end=a+b&start=%25", "%", "a b");
    ck_assert_uint_eq(range.open.keys_max, 0);
    ck_assert_uint_eq(range.open.flags, 0);
    ck_assert_uint_eq(range.open.after_bytes, 0);
    ck_assert(!range.stale);
}
END_TEST

START_TEST(test_range_reads_how_it_is_wanted)
{
    ck_assert_int_eq(read_query("start=a&end=b&limit=18446744073709551615&after=k&reverse=true&"
                                "keys_only=1&count_only=0&stale=1"),
                     0);
    ck_assert_uint_eq(range.open.keys_max, UINT64_MAX);
    ck_assert_uint_eq(range.open.flags, SCAN_REVERSE | SCAN_KEYS_ONLY);
    assert_bytes(range.open.after, range.open.after_bytes, "k");
    ck_assert(range.stale);
    ck_assert_int_eq(read_query("prefix=&count_only=true"), 0);
    ck_assert_uint_eq(range.open.flags, SCAN_COUNT_ONLY);
}
END_TEST

static char long_query[4096];

START_TEST(test_range_names_the_parameter_that_is_wrong)
{
    static const struct {
        const char *query, *part;
    } cases[] = {
        {"key=k&prefix=p", "query parameter prefix: does not go with key"},
        {"key=k&limit=1", "query parameter limit: does not go with key"},
        {"key=k&reverse=1", "query parameter reverse: does not go with key"},
        {"prefix=p&start=a&end=b", "query parameter start: does not go with prefix"},
        {"prefix=p&end=b", "query parameter end: does not go with prefix"},
        {"start=a", "query parameter start: want end too"},
        {"end=a", "query parameter end: want start too"},
        {"prefix=p&keys_only=1&count_only=1", "query parameter keys_only"},
        {"limit=3", "want a key"},
        {"after=3", "want a key"},
        {"prefix=p&limit=0", "query parameter limit"},
        {"prefix=p&limit=", "query parameter limit"},
        {"prefix=p&limit", "query parameter limit"},
        {"prefix=p&limit=-1", "query parameter limit"},
        {"prefix=p&limit=1x", "query parameter limit"},
        {"prefix=p&limit=%2b1", "query parameter limit"},
        {"prefix=p&limit=18446744073709551616", "query parameter limit"},
        {"prefix=p&reverse", "query parameter reverse: want true, 1, false or 0"},
        {"prefix=p&keys_only=yes", "query parameter keys_only"},
        {"prefix=p&count_only=2", "query parameter count_only"},
        {"prefix=p&stale=", "query parameter stale"},
    };
    for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        ck_assert_msg(read_query(cases[i].query) == 400, "%s", cases[i].query);
        ck_assert_msg(strstr(problem.detail, cases[i].part), "%s: %s", cases[i].query,
                      problem.detail);
    }
}
END_TEST

START_TEST(test_range_bounds_are_no_longer_than_keys)
{
    static const char *const names[] = {"prefix=", "start=&end=", "prefix=&after=", "end=&start="};
    for (unsigned i = 0; i < 4; i++) {
        snprintf(long_query, sizeof(long_query), "%s%01024d", names[i], 0);
        ck_assert_int_eq(read_query(long_query), 0);
        snprintf(long_query, sizeof(long_query), "%s%01025d", names[i], 0);
        ck_assert_int_eq(read_query(long_query), 413);
    }
    ck_assert_ptr_nonnull(strstr(problem.detail, "query parameter start"));
}
END_TEST

UNIT_MAIN("range", test_range_is_from_start_to_before_end, test_range_reads_how_it_is_wanted,
          test_range_names_the_parameter_that_is_wrong, test_range_bounds_are_no_longer_than_keys)
