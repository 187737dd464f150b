/* A request's body as a JSON object of strings (RFC 8259), read strictly: an unknown member, one
 * given twice or of another type is refused by name. */
#pragma once

#include "error.h"
#include "problem.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct field {
    const char *name; /* in upper and lower case */
    const char *also; /* another name, or NULL */
    /* Takes the text, or says what is allowed: 0 or -EINVAL. */
    int (*take)(const char *text, void *into, struct error *error);
    void *into;
    const char *want; /* for one who gave none, or no string */
    bool is_optional;
    bool is_given; /* set */
};

/* 0: those that were given have been taken (some of them, too, if it fails). 400 with what is wrong
 * in `problem`. */
int fields_read(const void *body, size_t body_bytes, struct field *fields, unsigned fields_count,
                struct problem *problem);
