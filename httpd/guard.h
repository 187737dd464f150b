/* The guard between the HTTP library and the routes: what the library lets through and must not
 * pass. Owner: httpd.
 *
 * It sees a request when its headers are complete, before any of its body. A verdict other than 0
 * closes the connection after the answer: where there is doubt about a request's end, nothing
 * behind it can be trusted (RFC 9112, sections 6.3 and 11.2). */
#pragma once

#include "error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct guard_header {
    const char *name;
    size_t name_length;
    const char *value; /* may be NULL for an empty one */
    size_t value_length;
};

#define GUARD_LENGTH_NONE UINT64_MAX

struct guard {
    unsigned hosts, content_lengths, transfer_encodings;
    bool chunked;
    uint64_t content_length; /* GUARD_LENGTH_NONE: not given */
    int verdict;             /* HTTP status; 0: nothing wrong so far */
    struct error reason;
};

void guard_begin(struct guard *guard);
void guard_header(struct guard *guard, const struct guard_header *header);
/* After the last header. `version` is "HTTP/1.1" or the like. Returns the verdict. */
int guard_finish(struct guard *guard, const char *version);
