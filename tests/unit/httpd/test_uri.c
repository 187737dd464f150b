#include "../unit.h"

#include "guard.h"
#include "routes.h"
#include "uri.h"

#include <errno.h>
#include <string.h>

static const struct {
    const char *target;
    const char *path, *key; /* NULL path: refused; NULL key: none in the path */
    size_t key_bytes;
} targets[] = {
    {"/kv", "/kv", NULL, 0},
    {"/kv/a", "/kv", "a", 1},
    {"/kv/", "/kv", "", 0},
    {"/kv/a/b", "/kv", "a/b", 3},
    {"/kv/a%2Fb", "/kv", "a/b", 3},
    {"/kv/a%00b", "/kv", "a\0b", 3},
    {"/kv/a+b", "/kv", "a+b", 3},
    {"/kv/%25", "/kv", "%", 1},
    {"/kv/%C3%BC", "/kv", "\xc3\xbc", 2},
    {"/k%76", "/kv", NULL, 0},
    {"/kv/%", NULL, NULL, 0},
    {"/kv/%2", NULL, NULL, 0},
    {"/kv/%zz", NULL, NULL, 0},
    {"/kv/%2g", NULL, NULL, 0},
    {"/kv/\x80", NULL, NULL, 0},
    {"/kv/a b", NULL, NULL, 0},
    {"kv", NULL, NULL, 0},
    {"http://host/kv", NULL, NULL, 0},
    {"*", NULL, NULL, 0},
    {"", NULL, NULL, 0},
    {"/kv#x", NULL, NULL, 0},
    {"/kv?key=%4", NULL, NULL, 0},
    {"/kv?a=1&a=2", NULL, NULL, 0},
    {"/kv?a=1&%61=2", NULL, NULL, 0},
};

START_TEST(test_uri_targets_are_exact_bytes_or_refused)
{
    for (unsigned i = 0; i < sizeof(targets) / sizeof(*targets); i++) {
        struct uri uri;
        struct error error = {""};
        int code = uri_parse(&uri, targets[i].target, &error);
        ck_assert_msg((code == 0) == (targets[i].path != NULL), "%s: %d", targets[i].target, code);
        if (code) {
            ck_assert(error.text[0]);
            continue;
        }
        ck_assert_str_eq((const char *)uri.path.bytes, targets[i].path);
        ck_assert_msg((uri.key.bytes != NULL) == (targets[i].key != NULL), "%s", targets[i].target);
        ck_assert_uint_eq(uri.key.length, targets[i].key_bytes);
        if (targets[i].key)
            ck_assert_mem_eq(uri.key.bytes, targets[i].key, targets[i].key_bytes);
        uri_free(&uri);
    }
}
END_TEST

START_TEST(test_uri_parameters_decode_once_and_plus_is_a_space)
{
    struct uri uri;
    static const char *const known[] = {"key", "stale", NULL};
    ck_assert_int_eq(uri_parse(&uri, "/kv?key=a+b%2B%2525%00&stale", NULL), 0);
    struct uri_bytes key = uri_parameter(&uri, "key");
    ck_assert_uint_eq(key.length, 8);
    ck_assert_mem_eq(key.bytes, "a b+%25\0", 8);
    ck_assert_ptr_nonnull(uri_parameter(&uri, "stale").bytes);
    ck_assert_uint_eq(uri_parameter(&uri, "stale").length, 0);
    ck_assert_ptr_null(uri_parameter(&uri, "absent").bytes);
    ck_assert_ptr_null(uri_unknown_parameter(&uri, known));
    ck_assert_str_eq(uri_unknown_parameter(&uri, known + 1), "key");
    uri_free(&uri);
}
END_TEST

static const struct {
    const char *version;
    const char *headers[8]; /* name, value, ... */
    int verdict;
} requests[] = {
    {"HTTP/1.1", {"Host", "h"}, 0},
    {"HTTP/1.1", {"Host", "h", "Content-Length", "5"}, 0},
    {"HTTP/1.1", {"Host", "h", "Transfer-Encoding", "chunked"}, 0},
    {"HTTP/1.0", {"Accept", "x"}, 0},
    {"HTTP/1.1", {"Accept", "x"}, 400},
    {"HTTP/1.1", {"Host", "a", "Host", "b"}, 400},
    {"HTTP/1.1", {"Host", "h", "Content-Length", "5", "Content-Length", "5"}, 400},
    {"HTTP/1.1", {"Host", "h", "Content-Length", "5", "Transfer-Encoding", "chunked"}, 400},
    {"HTTP/1.1", {"Host", "h", "Content-Length", "+5"}, 400},
    {"HTTP/1.1", {"Host", "h", "Content-Length", "-1"}, 400},
    {"HTTP/1.1", {"Host", "h", "Content-Length", "0x5"}, 400},
    {"HTTP/1.1", {"Host", "h", "Content-Length", "5, 5"}, 400},
    {"HTTP/1.1", {"Host", "h", "Content-Length", ""}, 400},
    {"HTTP/1.1", {"Host", "h", "Content-Length", "99999999999999999999"}, 400},
    {"HTTP/1.1", {"Host", "h", "Transfer-Encoding", "gzip, chunked"}, 400},
    {"HTTP/1.1", {"Host", "h", "Transfer-Encoding ", "chunked"}, 400},
    {"HTTP/1.1", {"Host", "h", "X Y", "1"}, 400},
    {"HTTP/1.1", {"Host", "h", "X", "a\x01"}, 400},
    {"HTTP/1.0", {"Host", "h", "Transfer-Encoding", "chunked"}, 400},
    {"HTTP/2.0", {"Host", "h"}, 505},
};

START_TEST(test_guard_refuses_what_makes_the_end_doubtful)
{
    for (unsigned i = 0; i < sizeof(requests) / sizeof(*requests); i++) {
        struct guard guard;
        guard_begin(&guard);
        for (unsigned h = 0; h < 8 && requests[i].headers[h]; h += 2) {
            const char *name = requests[i].headers[h], *value = requests[i].headers[h + 1];
            guard_header(&guard, &(struct guard_header){name, strlen(name), value, strlen(value)});
        }
        int verdict = guard_finish(&guard, requests[i].version);
        ck_assert_msg(verdict == requests[i].verdict, "request %u: %d %s", i, verdict,
                      guard.reason.text);
    }
}
END_TEST

START_TEST(test_routes_have_handlers_and_lists_of_methods)
{
    char list[64];
    for (const struct route *route = routes; route->path; route++) {
        ck_assert_ptr_nonnull(route->handler);
        ck_assert_ptr_nonnull(route->parameters);
        ck_assert_uint_gt(route->methods, 0);
    }
    ck_assert_str_eq(method_list(METHOD_PUT | METHOD_GET, list, sizeof(list)), "GET, PUT");
    ck_assert_uint_eq(method_of("get"), METHOD_OTHER);
    ck_assert_uint_eq(method_of("DELETE"), METHOD_DELETE);
}
END_TEST

UNIT_MAIN("uri", test_uri_targets_are_exact_bytes_or_refused,
          test_uri_parameters_decode_once_and_plus_is_a_space,
          test_guard_refuses_what_makes_the_end_doubtful,
          test_routes_have_handlers_and_lists_of_methods)
