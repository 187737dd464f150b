/* The REPL's options. The same ones stand on the command line, where they hold for the whole
 * session, and among the words of a line, where they hold for its command. */
#pragma once

#include "display.h"
#include "error.h"
#include "url.h"
#include "word.h"

#include <stdbool.h>
#include <stdint.h>

struct options {
    struct url_servers servers;
    uint64_t timeout_ms; /* 0: not given, each command has its own */
    enum display_format format;
    bool stale;     /* get, scan: any node's own state */
    bool keys_only; /* scan: without values */
    uint64_t limit; /* scan: at most so many keys; 0: all */
    bool json;
    bool value_from_stdin; /* put */
    bool escapes;          /* the command line's words hold escapes; lines' words always may */
    bool timing;           /* say how long a command took */
    bool help, version;
};

/* http://127.0.0.1:8081. */
struct options options_default(void);

/* Takes the options out from among the words: behind it words[0 .. *count) are the others, in
 * order.
 * "--" ends the options; a quoted word is never one; a word with a single dash that is no option is
 * an operand (a key or value such as -5). -EINVAL with a line. */
int options_take(struct options *options, struct word *words, unsigned *count, struct error *error);

/* For --help: one line per option. */
void options_print_help(void);
