/* The guard: a request's head must have exactly one reading (RFC 9112), or it is refused and the
 * connection closed.
 *
 * libmicrohttpd parses leniently: it takes bare line feeds, folds lines, cuts values at a NUL, and
 * listens to the first of two Content-Lengths. It parses in place, though, putting NULs over the
 * separators it saw. So the guard accounts for every byte of the head: between the fields that
 * libmicrohttpd reports may stand nothing but what a strict head has there. One thing it cannot
 * see: a NUL among the two bytes that end a field line, as all are NULs then. */
#pragma once

#include "httpd_limits.h"
#include "problem.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct guard_field {
    const char *name, *value; /* inside the head, both NUL-terminated; a value may end in spaces */
    size_t name_bytes, value_bytes;
};

struct guard_head {
    const char *method;      /* where the head begins */
    const char *target;      /* where it stands; its text there is not what came */
    const char *target_text; /* what came */
    size_t target_bytes;
    const char *version;
    const char *end;   /* behind the empty line */
    size_t head_bytes; /* from method to end */
    struct guard_field fields[HTTPD_FIELDS_MAX];
    unsigned fields_count; /* may be HTTPD_FIELDS_MAX + 1, of which the last is not kept */
};

struct guard_findings {
    bool chunked;
    bool expects_continue;
    uint64_t content_length; /* 0 without the field */
    const char *if_match;    /* NULL without the field; trimmed on the left */
    const char *if_none_match;
    const char *last_event_id;
    bool was_forwarded; /* by another node: it must not go further */
};

/* 0, or the status (400, 414, 431), always with `close`. */
int guard_check(const struct guard_head *head, struct guard_findings *ret_findings,
                struct problem *problem);
