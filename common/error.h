/* Errors, common to all folders.
 *
 * A function returns 0 for success, a negative errno for what nobody expected (it is forwarded
 * until someone can end the work), and a positive value of an enum named in its header for outcomes
 * every caller must handle. Outputs (`ret_*`) are untouched unless 0 is returned.
 *
 * Where a person will read the reason, the function also takes a `struct error` and puts one line
 * in it: what was wrong, where, and what is allowed. No trailing newline, no trailing full stop. */
#pragma once

#define ERROR_TEXT_BYTES 512

struct error {
    char text[ERROR_TEXT_BYTES];
};

/* Writes the line (cut if too long) and returns `code`, so that `return error_set(...)` reads well.
 * `error` may be NULL. */
int error_set(struct error *error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* As error_set, with ": " and the text of errno value -code (a negative errno) behind the line. */
int error_set_errno(struct error *error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Exit codes of every binary. The launcher restarts a daemon unless it exits with 0 on request,
 * EXIT_USAGE or EXIT_PERMANENT. */
enum exit_code {
    EXIT_CODE_OK = 0,
    EXIT_CODE_FAILURE = 1,     /* may go away by itself: the launcher tries again */
    EXIT_CODE_USAGE = 2,       /* flags or configuration */
    EXIT_CODE_PERMANENT = 125, /* damaged or foreign data, a file in the way: a person must look */
};
