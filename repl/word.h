/* A line of commands, cut into words.
 *
 * Words are parted by spaces and tabs. Within "..." and outside of quotes, backslash escapes stand
 * for bytes: \xNN \n \r \t \\ \" \' and "\ " (a space). Within '...' every byte is itself. Pieces
 * that touch are one word; "" and '' are an empty one. */
#pragma once

#include "buffer.h"
#include "error.h"
#include "repl_limits.h"

#include <stdbool.h>
#include <stddef.h>

struct word {
    const char *bytes; /* any bytes, and a NUL behind them */
    size_t length;
    bool quoted; /* some of it stood in quotes or behind a backslash: it is no option */
};

/* Zero-initialised is empty and valid; can be used for line after line. */
struct word_list {
    struct buffer text; /* what the words point into */
    struct word words[REPL_WORDS_MAX];
    unsigned count;
};

/* -EINVAL with the column (from 1) and what is wrong. */
int word_split(struct word_list *list, const char *line, size_t length, struct error *error);
void word_list_free(struct word_list *list);

/* The bytes with their escapes replaced, appended to `into`; quotes are bytes like others. -EINVAL
 * as above. */
int word_unescape(const char *bytes, size_t length, struct buffer *into, struct error *error);

/* The other way: so that the bytes stand in a word outside of quotes. */
void word_escape(const char *bytes, size_t length, struct buffer *into);

bool word_is(const struct word *word, const char *text);
