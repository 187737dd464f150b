/* The request target: split at '?' and '&', and percent-decoded exactly once, into bytes. */
#pragma once

#include "error.h"
#include "httpd_limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct uri_parameter {
    const uint8_t *name, *value; /* decoded; not terminated */
    size_t name_bytes, value_bytes;
    bool has_value; /* there was a '=' */
};

struct uri {
    const uint8_t *path; /* not decoded: points into the target */
    size_t path_bytes;
    struct uri_parameter parameters[HTTPD_PARAMETERS_MAX];
    unsigned parameters_count;
    uint8_t *room; /* what is left of the scratch space: enough to decode the path */
};

/* Splits a target that the guard took and decodes its parameters into `scratch`, which has at least
 * as many bytes as the target and must live as long as `ret_uri`. -EINVAL with the reason: a bad
 * escape, a parameter that is empty, given twice, or one too many. */
int uri_parse(const char *target, size_t target_bytes, uint8_t *scratch, struct uri *ret_uri,
              struct error *error);

/* Decodes `length` bytes into `into`, which has room for as many. In a query a plus is a space. */
int uri_decode(const uint8_t *text, size_t length, bool is_query, uint8_t *into,
               size_t *ret_length);

/* NULL if there is none of this name. */
const struct uri_parameter *uri_find(const struct uri *uri, const char *name);
/* True if the parameter's value is this text. */
bool uri_value_is(const struct uri_parameter *parameter, const char *text);
/* The first parameter whose name is not in the list (which ends with NULL), or NULL. */
const struct uri_parameter *uri_find_unknown(const struct uri *uri, const char *const *names);
