#include "routes.h"

#include "changes.h"
#include "exposition.h"
#include "kv.h"
#include "openapi.h"
#include "pages.h"
#include "transaction.h"
#include "watches.h"

#include <stdio.h>
#include <string.h>

#define READ_METHODS (METHOD_GET | METHOD_HEAD)

static const char *const no_parameters[] = {NULL};
static const char *const key_parameters[] = {"key", "stale", NULL};
static const char *const read_parameters[] = {"key",       "stale",      "prefix", "start",
                                              "end",       "limit",      "after",  "reverse",
                                              "keys_only", "count_only", NULL};
static const char *const put_parameters[] = {"key", "value", NULL};
static const char *const delete_parameters[] = {"key", NULL};
static const char *const watch_parameters[] = {"key", "prefix", "from", NULL};
static const char *const ready_parameters[] = {"verbose", NULL};

/* clang-format off */
static const struct route routes[] = {
    {"/kv",           ROUTE_EXACT, READ_METHODS,  read_parameters,   0,                    kv_prepare_read,     kv_serve_read,          NULL},
    {"/kv",           ROUTE_EXACT, METHOD_PUT,    put_parameters,    ROUTE_BODY_VALUE,     kv_prepare_write,    kv_serve_write,         NULL},
    {"/kv",           ROUTE_EXACT, METHOD_DELETE, delete_parameters, 0,                    kv_prepare_write,    kv_serve_write,         NULL},
    {"/kv/",          ROUTE_BELOW, READ_METHODS,  key_parameters,    0,                    kv_prepare_read,     kv_serve_read,          NULL},
    {"/kv/",          ROUTE_BELOW, METHOD_PUT,    put_parameters,    ROUTE_BODY_VALUE,     kv_prepare_write,    kv_serve_write,         NULL},
    {"/kv/",          ROUTE_BELOW, METHOD_DELETE, delete_parameters, 0,                    kv_prepare_write,    kv_serve_write,         NULL},

    {"/txn",          ROUTE_EXACT, METHOD_POST,   no_parameters,     HTTPD_TXN_BYTES_MAX,  NULL,                transaction_serve,      NULL},

    {"/watch",        ROUTE_EXACT, READ_METHODS,  watch_parameters,  0,                    watches_prepare,     watches_serve,          NULL},

    {"/join",         ROUTE_EXACT, METHOD_POST,   no_parameters,     HTTPD_JSON_BYTES_MAX, NULL,                changes_serve_join,     NULL},
    {"/remove",       ROUTE_EXACT, METHOD_POST,   no_parameters,     HTTPD_JSON_BYTES_MAX, NULL,                changes_serve_remove,   NULL},
    {"/transfer",     ROUTE_EXACT, METHOD_POST,   no_parameters,     HTTPD_JSON_BYTES_MAX, NULL,                changes_serve_transfer, NULL},

    {"/status",       ROUTE_EXACT, READ_METHODS,  no_parameters,     0,                    NULL,                survey_serve,           pages_status},
    {"/raft/config",  ROUTE_EXACT, READ_METHODS,  no_parameters,     0,                    NULL,                survey_serve,           pages_raft_config},
    {"/raft/stats",   ROUTE_EXACT, READ_METHODS,  no_parameters,     0,                    NULL,                survey_serve,           pages_raft_stats},
    {"/readyz",       ROUTE_EXACT, READ_METHODS,  ready_parameters,  0,                    pages_prepare_ready, survey_serve,           pages_ready},
    {"/livez",        ROUTE_EXACT, READ_METHODS,  no_parameters,     0,                    NULL,                pages_serve_live,       NULL},
    {"/metrics",      ROUTE_EXACT, READ_METHODS,  no_parameters,     0,                    NULL,                survey_serve,           exposition_page},
    {"/openapi.json", ROUTE_EXACT, READ_METHODS,  no_parameters,     0,                    NULL,                openapi_serve,          NULL},
    {NULL},
};
/* clang-format on */
_Static_assert(sizeof(routes) / sizeof(*routes) - 1 <= METRICS_ROUTES_MAX,
               "each row has its counters");

static const struct {
    const char *name;
    unsigned method;
} methods[] = {
    {"GET", METHOD_GET},       {"HEAD", METHOD_HEAD}, {"PUT", METHOD_PUT},
    {"DELETE", METHOD_DELETE}, {"POST", METHOD_POST},
};
#define METHODS_COUNT (sizeof(methods) / sizeof(*methods))

unsigned routes_method(const char *method)
{
    for (unsigned i = 0; i < METHODS_COUNT; i++)
        if (!strcmp(methods[i].name, method))
            return methods[i].method;
    return 0;
}

const char *routes_method_name(unsigned method)
{
    for (unsigned i = 0; i < METHODS_COUNT; i++)
        if (methods[i].method == method)
            return methods[i].name;
    return "";
}

static bool route_matches(const struct route *route, const void *path, size_t path_bytes)
{
    size_t length = strlen(route->path);
    if (route->kind == ROUTE_EXACT ? path_bytes != length : path_bytes < length)
        return false;
    return !memcmp(path, route->path, length);
}

const struct route *routes_find(const void *path, size_t path_bytes, unsigned method,
                                unsigned *ret_allowed)
{
    unsigned allowed = 0;
    for (const struct route *route = routes; route->path; route++) {
        if (!route_matches(route, path, path_bytes))
            continue;
        if (route->methods & method)
            return route;
        allowed |= route->methods;
    }
    *ret_allowed = allowed;
    return NULL;
}

void routes_format_allow(unsigned allowed, char into[ROUTES_ALLOW_BYTES])
{
    size_t length = 0;
    into[0] = '\0';
    for (unsigned i = 0; i < METHODS_COUNT; i++)
        if (allowed & methods[i].method)
            length += (size_t)snprintf(into + length, ROUTES_ALLOW_BYTES - length, "%s%s",
                                       length ? ", " : "", methods[i].name);
}

const struct route *routes_table(void)
{
    return routes;
}
