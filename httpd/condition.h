/* Conditional writes: If-Match and If-None-Match (RFC 9110 section 13.1) as a command's condition.
 * A key's entity tag is its revision in decimal, in quotes. */
#pragma once

#include "command.h"
#include "problem.h"

#define CONDITION_ETAG_BYTES 24u /* of the longest tag, with its NUL */

struct condition {
    enum command_condition kind;
    uint64_t revision; /* of COMMAND_IF_REVISION; 0 matches no key */
};

/* Either text may be NULL: no such header. 400: both are given, or one is not of the form
 * If-Match: "R" or *, If-None-Match: *. */
int condition_parse(const char *if_match, const char *if_none_match,
                    struct condition *ret_condition, struct problem *problem);

void condition_format_etag(uint64_t revision, char into[CONDITION_ETAG_BYTES]);
