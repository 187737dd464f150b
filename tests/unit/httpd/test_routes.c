#include "routes.h"

#include "../unit.h"

#include <string.h>

static const struct route *find(const char *path, const char *method, unsigned *allowed)
{
    *allowed = 0;
    return routes_find(path, strlen(path), routes_method(method), allowed);
}

START_TEST(test_routes_table_is_whole)
{
    unsigned count = 0;
    for (const struct route *route = routes_table(); route->path; route++, count++) {
        ck_assert_msg(route->serve != NULL, "%s", route->path);
        ck_assert_msg(route->methods != 0, "%s", route->path);
        ck_assert_ptr_nonnull(route->parameters);
        ck_assert((route->serve == survey_serve) == (route->page != NULL));
        ck_assert_int_eq(route->path[0], '/');
        bool ends_in_slash = route->path[strlen(route->path) - 1] == '/';
        ck_assert(ends_in_slash == (route->kind == ROUTE_BELOW));
        /* HEAD is wherever GET is, and only there */
        ck_assert(!(route->methods & METHOD_GET) == !(route->methods & METHOD_HEAD));
    }
    ck_assert_uint_gt(count, 10);
}
END_TEST

/* No row can hide another. */
START_TEST(test_routes_table_finds_every_row)
{
    static const unsigned bits[] = {METHOD_GET, METHOD_HEAD, METHOD_PUT, METHOD_DELETE,
                                    METHOD_POST};
    for (const struct route *route = routes_table(); route->path; route++)
        for (unsigned i = 0; i < 5; i++) {
            unsigned allowed;
            if (route->methods & bits[i])
                ck_assert_ptr_eq(routes_find(route->path, strlen(route->path), bits[i], &allowed),
                                 route);
        }
}
END_TEST

START_TEST(test_routes_find_paths)
{
    static const char *const unknown[] = {"/",       "/kv2",     "/k",    "/KV",
                                          "/kvx/a",  "/status/", "/raft", "/raft/",
                                          "/metric", "/%6bv",    "//kv"};
    unsigned allowed;
    for (unsigned i = 0; i < sizeof(unknown) / sizeof(*unknown); i++) {
        ck_assert_msg(!find(unknown[i], "GET", &allowed), "%s", unknown[i]);
        ck_assert_uint_eq(allowed, 0);
    }
    ck_assert_ptr_nonnull(find("/kv", "PUT", &allowed));
    ck_assert_ptr_nonnull(find("/kv/", "PUT", &allowed));
    ck_assert_ptr_nonnull(find("/kv/a/b", "DELETE", &allowed));
    ck_assert_ptr_nonnull(find("/readyz", "HEAD", &allowed));
}
END_TEST

START_TEST(test_routes_wrong_method_says_what_is_allowed)
{
    static const struct {
        const char *path, *method, *allow;
    } cases[] = {
        {"/kv", "POST", "GET, HEAD, PUT, DELETE"}, {"/kv/a", "OPTIONS", "GET, HEAD, PUT, DELETE"},
        {"/kv", "get", "GET, HEAD, PUT, DELETE"},  {"/kv", "BREW", "GET, HEAD, PUT, DELETE"},
        {"/status", "PUT", "GET, HEAD"},           {"/livez", "DELETE", "GET, HEAD"},
    };
    for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        unsigned allowed;
        char allow[ROUTES_ALLOW_BYTES];
        ck_assert_ptr_null(find(cases[i].path, cases[i].method, &allowed));
        routes_format_allow(allowed, allow);
        ck_assert_str_eq(allow, cases[i].allow);
    }
}
END_TEST

START_TEST(test_routes_format_allow_fits_all)
{
    char allow[ROUTES_ALLOW_BYTES];
    routes_format_allow(~0u, allow);
    ck_assert_str_eq(allow, "GET, HEAD, PUT, DELETE, POST");
}
END_TEST

UNIT_MAIN("routes", test_routes_table_is_whole, test_routes_table_finds_every_row,
          test_routes_find_paths, test_routes_wrong_method_says_what_is_allowed,
          test_routes_format_allow_fits_all)
