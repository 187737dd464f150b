/* The table of what httpd serves: path, methods, query parameters, and who does it. */
#pragma once

#include "request.h"
#include "survey.h"

enum route_method {
    METHOD_GET = 1,
    METHOD_HEAD = 2,
    METHOD_PUT = 4,
    METHOD_DELETE = 8,
    METHOD_POST = 16,
};

enum route_kind {
    ROUTE_EXACT, /* this path */
    ROUTE_BELOW, /* this path, which ends in '/', and anything behind it */
};

/* Reads what the head says before any body is accepted. 0 or the status in `problem`. */
typedef int route_prepare_fn(struct request *request, struct problem *problem);
/* Serves the whole request: answers it, or hands it to who will. */
typedef void route_serve_fn(struct request *request);

#define ROUTE_BODY_VALUE SIZE_MAX

struct route {
    const char *path;
    enum route_kind kind;
    unsigned methods; /* bits of enum route_method */
    const char *const *parameters;
    size_t body_bytes_max;     /* 0: takes none; ROUTE_BODY_VALUE: a value, up to value_bytes_max */
    route_prepare_fn *prepare; /* may be NULL */
    route_serve_fn *serve;
    survey_page_fn *page; /* of routes served by survey_serve; else NULL */
};

#define ROUTES_ALLOW_BYTES 40u /* "GET, HEAD, PUT, DELETE, POST" and its NUL */

/* 0 for a method that no route knows. */
unsigned routes_method(const char *method);
/* The name of one of them. */
const char *routes_method_name(unsigned method);
/* The route, or NULL; then *ret_allowed has the methods that the path allows (0: unknown path). */
const struct route *routes_find(const void *path, size_t path_bytes, unsigned method,
                                unsigned *ret_allowed);
/* The text of an Allow header. */
void routes_format_allow(unsigned methods, char into[ROUTES_ALLOW_BYTES]);
/* The table itself, for tests that walk it; ends with a NULL path. */
const struct route *routes_table(void);
