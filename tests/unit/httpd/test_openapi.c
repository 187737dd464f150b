/* openapi.json against the table of routes, both ways. */
#include "openapi.h"
#include "routes.h"

#include "../unit.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const unsigned methods[] = {METHOD_GET, METHOD_HEAD, METHOD_PUT, METHOD_DELETE, METHOD_POST};
#define METHODS_COUNT (sizeof(methods) / sizeof(*methods))

static cJSON *document;

static void read_document(void)
{
    document = cJSON_Parse(openapi_text);
    ck_assert_ptr_nonnull(document);
}

/* The component a "$ref" names, or the object itself. */
static const cJSON *resolve(const cJSON *object)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, "$ref"));
    char path[128], *rest = NULL;
    if (!text)
        return object;
    ck_assert_msg(!strncmp(text, "#/", 2), "%s", text);
    snprintf(path, sizeof(path), "%s", text + 2);
    const cJSON *at = document;
    for (char *part = strtok_r(path, "/", &rest); part; part = strtok_r(NULL, "/", &rest))
        at = cJSON_GetObjectItemCaseSensitive(at, part);
    ck_assert_msg(at != NULL, "%s leads nowhere", text);
    return at;
}

static const cJSON *operation_of(const struct route *route, unsigned method)
{
    char path[64], name[16] = "";
    const char *upper = routes_method_name(method);
    snprintf(path, sizeof(path), "%s%s", route->path, route->kind == ROUTE_BELOW ? "{key}" : "");
    for (size_t i = 0; upper[i]; i++)
        name[i] = (char)(upper[i] | 0x20);
    const cJSON *paths = cJSON_GetObjectItem(document, "paths");
    return cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(paths, path), name);
}

static unsigned parameters_in(const cJSON *operation, const char *place, const char *name)
{
    const cJSON *each;
    unsigned count = 0;
    cJSON_ArrayForEach(each, cJSON_GetObjectItem(operation, "parameters"))
    {
        const cJSON *parameter = resolve(each);
        const char *in = cJSON_GetStringValue(cJSON_GetObjectItem(parameter, "in"));
        const char *own = cJSON_GetStringValue(cJSON_GetObjectItem(parameter, "name"));
        count += !strcmp(in, place) && (!name || !strcmp(own, name));
    }
    return count;
}

/* A key in the path may not be given in the query too; the table allows it to say so itself. */
static bool is_shown(const struct route *route, const char *parameter)
{
    return route->kind != ROUTE_BELOW || strcmp(parameter, "key");
}

static void check_operation(const struct route *route, unsigned method)
{
    const cJSON *operation = operation_of(route, method);
    const char *name = routes_method_name(method);
    unsigned parameters_count = 0;
    ck_assert_msg(operation != NULL, "%s %s is not in openapi.json", name, route->path);
    for (const char *const *at = route->parameters; *at; at++) {
        if (!is_shown(route, *at))
            continue;
        parameters_count++;
        ck_assert_msg(parameters_in(operation, "query", *at) == 1, "%s %s: no parameter %s", name,
                      route->path, *at);
    }
    ck_assert_msg(parameters_in(operation, "query", NULL) == parameters_count,
                  "%s %s: too many parameters", name, route->path);
    ck_assert_uint_eq(parameters_in(operation, "path", "key"), route->kind == ROUTE_BELOW);
    ck_assert_msg(!cJSON_GetObjectItem(operation, "requestBody") == !route->body_bytes_max,
                  "%s %s: body", name, route->path);
    ck_assert_ptr_nonnull(cJSON_GetObjectItem(cJSON_GetObjectItem(operation, "responses"), "200"));
}

START_TEST(test_openapi_has_every_route)
{
    read_document();
    for (const struct route *route = routes_table(); route->path; route++)
        for (unsigned i = 0; i < METHODS_COUNT; i++)
            if (route->methods & methods[i])
                check_operation(route, methods[i]);
    cJSON_Delete(document);
}
END_TEST

START_TEST(test_openapi_has_nothing_else)
{
    const cJSON *path, *operation;
    read_document();
    cJSON_ArrayForEach(path, cJSON_GetObjectItem(document, "paths"))
    {
        cJSON_ArrayForEach(operation, path)
        {
            bool found = false;
            for (const struct route *route = routes_table(); route->path; route++)
                for (unsigned i = 0; i < METHODS_COUNT; i++)
                    found = found || ((route->methods & methods[i]) &&
                                      operation_of(route, methods[i]) == operation);
            ck_assert_msg(found, "%s %s is no route", operation->string, path->string);
        }
    }
    cJSON_Delete(document);
}
END_TEST

static void check_references(const cJSON *object, unsigned *count)
{
    const cJSON *each;
    *count += resolve(object) != object;
    cJSON_ArrayForEach(each, object) check_references(each, count);
}

START_TEST(test_openapi_references_lead_somewhere_and_names_are_unique)
{
    unsigned count = 0;
    const cJSON *path, *operation, *other_path, *other;
    read_document();
    check_references(document, &count);
    ck_assert_uint_gt(count, 50);
    ck_assert_str_eq(cJSON_GetStringValue(cJSON_GetObjectItem(document, "openapi")), "3.1.0");
    ck_assert_str_eq(
        cJSON_GetStringValue(cJSON_GetObjectItem(cJSON_GetObjectItem(document, "info"), "version")),
        CONURE_VERSION);
    cJSON_ArrayForEach(path, cJSON_GetObjectItem(document, "paths"))
    {
        cJSON_ArrayForEach(operation, path)
        {
            unsigned same = 0;
            const char *id = cJSON_GetStringValue(cJSON_GetObjectItem(operation, "operationId"));
            cJSON_ArrayForEach(other_path, cJSON_GetObjectItem(document, "paths"))
            {
                cJSON_ArrayForEach(other, other_path) same +=
                    !strcmp(id, cJSON_GetStringValue(cJSON_GetObjectItem(other, "operationId")));
            }
            ck_assert_msg(same == 1, "operationId %s", id);
        }
    }
    cJSON_Delete(document);
}
END_TEST

UNIT_MAIN("openapi", test_openapi_has_every_route, test_openapi_has_nothing_else,
          test_openapi_references_lead_somewhere_and_names_are_unique)
