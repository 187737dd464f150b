#include "word.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* What is read, and where the words' bytes go: into memory reserved in one piece, so that words can
 * point into it. */
struct splitter {
    const char *line;
    size_t length, at;
    char *into;
    struct word *word;
    struct error *error;
};

static int hex_digit(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F')
        return digit - 'A' + 10;
    return -1;
}

/* The byte that the escape at `bytes` (behind its backslash) stands for; returns how many bytes it
 * takes, 0 if it is none. */
static size_t escape_read(const char *bytes, size_t length, char *ret_byte)
{
    static const char names[] = "nrt\\\"' ", values[] = "\n\r\t\\\"' ";
    if (length == 0)
        return 0;
    if (bytes[0] == 'x') {
        int high = length >= 3 ? hex_digit(bytes[1]) : -1;
        int low = length >= 3 ? hex_digit(bytes[2]) : -1;
        if (high < 0 || low < 0)
            return 0;
        *ret_byte = (char)(unsigned char)(high << 4 | low);
        return 3;
    }
    const char *name = bytes[0] ? strchr(names, bytes[0]) : NULL;
    if (!name)
        return 0;
    *ret_byte = values[name - names];
    return 1;
}

static int escape_fail(struct error *error, size_t at)
{
    return error_set(error, -EINVAL,
                     "column %zu: bad escape: want \\xNN, \\n, \\r, \\t, \\\\, \\\", \\' or '\\ '",
                     at + 1);
}

static int split_escape(struct splitter *splitter)
{
    char byte = 0;
    size_t behind = splitter->at + 1;
    size_t taken = escape_read(splitter->line + behind, splitter->length - behind, &byte);
    if (taken == 0)
        return escape_fail(splitter->error, splitter->at);
    splitter->word->quoted = true;
    *splitter->into++ = byte;
    splitter->at = behind + taken;
    return 0;
}

static int split_quoted(struct splitter *splitter)
{
    size_t begin = splitter->at;
    char quote = splitter->line[splitter->at++];
    splitter->word->quoted = true;
    while (splitter->at < splitter->length) {
        char byte = splitter->line[splitter->at];
        if (byte == '\\' && quote == '"') {
            int code = split_escape(splitter);
            if (code)
                return code;
            continue;
        }
        splitter->at++;
        if (byte == quote)
            return 0;
        *splitter->into++ = byte;
    }
    return error_set(splitter->error, -EINVAL, "column %zu: this quote is not closed", begin + 1);
}

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

static int split_word(struct splitter *splitter)
{
    char *begin = splitter->into;
    while (splitter->at < splitter->length && !is_blank(splitter->line[splitter->at])) {
        char byte = splitter->line[splitter->at];
        int code = 0;
        if (byte == '\\')
            code = split_escape(splitter);
        else if (byte == '"' || byte == '\'')
            code = split_quoted(splitter);
        else
            *splitter->into++ = splitter->line[splitter->at++];
        if (code)
            return code;
    }
    splitter->word->bytes = begin;
    splitter->word->length = (size_t)(splitter->into - begin);
    *splitter->into++ = '\0';
    return 0;
}

int word_split(struct word_list *list, const char *line, size_t length, struct error *error)
{
    buffer_clear(&list->text, 1u << 20);
    list->count = 0;
    /* No escape is shorter than its byte, and each word adds a NUL. */
    struct splitter splitter = {.line = line, .length = length, .error = error};
    splitter.into = (char *)buffer_reserve(&list->text, length + REPL_WORDS_MAX);
    for (;;) {
        while (splitter.at < length && is_blank(line[splitter.at]))
            splitter.at++;
        if (splitter.at == length)
            return 0;
        if (list->count == REPL_WORDS_MAX)
            return error_set(error, -EINVAL, "column %zu: too many words: want at most %u",
                             splitter.at + 1, REPL_WORDS_MAX);
        splitter.word = &list->words[list->count];
        *splitter.word = (struct word){0};
        int code = split_word(&splitter);
        if (code)
            return code;
        list->count++;
    }
}

void word_list_free(struct word_list *list)
{
    buffer_free(&list->text);
    list->count = 0;
}

int word_unescape(const char *bytes, size_t length, struct buffer *into, struct error *error)
{
    for (size_t at = 0; at < length;) {
        char byte = bytes[at];
        size_t taken = 1;
        if (byte == '\\') {
            taken = escape_read(bytes + at + 1, length - at - 1, &byte);
            if (taken == 0)
                return escape_fail(error, at);
            taken++;
        }
        buffer_append(into, &byte, 1);
        at += taken;
    }
    return 0;
}

void word_escape(const char *bytes, size_t length, struct buffer *into)
{
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)bytes[i];
        char text[8];
        if (byte < 0x20 || byte >= 0x7f)
            snprintf(text, sizeof(text), "\\x%02x", byte);
        else
            snprintf(text, sizeof(text), "%s%c", strchr(" \\\"'", byte) ? "\\" : "", byte);
        buffer_append(into, text, strlen(text));
    }
}

bool word_is(const struct word *word, const char *text)
{
    return word->length == strlen(text) && !memcmp(word->bytes, text, word->length);
}
