/* Request targets: path and query, percent-decoded once, to bytes. Owner: httpd.
 *
 * RFC 3986 with one deviation as in HTML forms: '+' in the query is a space. Every byte can be
 * written, %00 and %2F included. A '%' without two hex digits, an unescaped control byte, space or
 * byte above 0x7e, a parameter given twice, and one that the route does not know are refused. */
#pragma once

#include "error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define URI_PARAMETERS_MAX 16u

struct uri_bytes {
    const uint8_t *bytes; /* NULL: not given */
    size_t length;
};

struct uri_parameter {
    struct uri_bytes name, value; /* "?x" has the value "" */
};

struct uri {
    char *memory;          /* owns all of the below; NUL behind each part */
    struct uri_bytes path; /* decoded */
    struct uri_bytes key;  /* what stands behind "/kv/", decoded; NULL bytes: nothing */
    struct uri_parameter parameters[URI_PARAMETERS_MAX];
    unsigned parameters_count;
};

/* Reads the raw target as it stood in the request line. -EINVAL with one line. */
int uri_parse(struct uri *uri, const char *target, struct error *error);
void uri_free(struct uri *uri);
/* The parameter's value; bytes NULL if it is not there. */
struct uri_bytes uri_parameter(const struct uri *uri, const char *name);
/* NULL, or the name of a parameter that is not in the list (which ends with NULL). */
const char *uri_unknown_parameter(const struct uri *uri, const char *const *known);
