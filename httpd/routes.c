#include "routes.h"

#include <stdio.h>
#include <string.h>

static const char *const no_parameters[] = {NULL};
static const char *const kv_parameters[] = {"key", "value", "stale", NULL};
static const char *const readyz_parameters[] = {"verbose", NULL};

#define METHODS_READ (METHOD_GET | METHOD_HEAD)

const struct route routes[] = {
    {"/kv", METHODS_READ | METHOD_PUT | METHOD_DELETE, true, kv_parameters, kv_check, kv_handle},
    {"/status", METHODS_READ, false, no_parameters, NULL, status_handle},
    {"/raft/config", METHODS_READ, false, no_parameters, NULL, raft_config_handle},
    {"/raft/stats", METHODS_READ, false, no_parameters, NULL, raft_stats_handle},
    {"/livez", METHODS_READ, false, readyz_parameters, NULL, livez_handle},
    {"/readyz", METHODS_READ, false, readyz_parameters, NULL, readyz_handle},
    {NULL},
};

static const struct {
    const char *name;
    enum method method;
} methods[] = {
    {"GET", METHOD_GET},       {"HEAD", METHOD_HEAD}, {"PUT", METHOD_PUT},
    {"DELETE", METHOD_DELETE}, {"POST", METHOD_POST},
};
#define METHODS_COUNT (sizeof(methods) / sizeof(*methods))

unsigned method_of(const char *name)
{
    for (unsigned i = 0; i < METHODS_COUNT; i++)
        if (!strcmp(methods[i].name, name))
            return methods[i].method;
    return METHOD_OTHER;
}

const char *method_list(unsigned set, char *into, size_t into_bytes)
{
    size_t length = 0;
    into[0] = '\0';
    for (unsigned i = 0; i < METHODS_COUNT; i++)
        if (set & methods[i].method)
            length += (size_t)snprintf(into + length, into_bytes - length, "%s%s",
                                       length ? ", " : "", methods[i].name);
    return into;
}

const struct route *route_of(const struct uri *uri)
{
    for (const struct route *route = routes; route->path; route++)
        if (uri->path.length == strlen(route->path) &&
            !memcmp(uri->path.bytes, route->path, uri->path.length) &&
            (!uri->key.bytes || route->takes_key_path))
            return route;
    return NULL;
}
