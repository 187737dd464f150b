/* conure-scenario [--rewrite] FILE ...: plays each file's commands on real cores and compares what
 * happens with what is written there; --rewrite writes there what happens. Exits 1 at a difference,
 * 2 at a line that makes no sense.
 *
 *   # a comment, anywhere between blocks
 *   command
 *   another command
 *   ----
 *   what happened, a line for each thing ("ok": nothing)
 *
 * A blank line ends a block. */
#include "commands.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct text {
    char *bytes;
    size_t count;
};

static struct text text_read(const char *path)
{
    struct text text = {0};
    FILE *file = fopen(path, "re"), *copy = open_memstream(&text.bytes, &text.count);
    char buffer[4096];
    size_t count;
    if (!file || !copy) {
        fprintf(stderr, "%s: cannot be read\n", path);
        exit(2);
    }
    while ((count = fread(buffer, 1, sizeof(buffer), file)) > 0)
        fwrite(buffer, 1, count, copy);
    fclose(copy);
    fclose(file);
    return text;
}

/* Plays the text, and writes it with what happened in place of what was expected. */
static void play(const char *path, char *script, FILE *out)
{
    struct stage *stage = malloc(sizeof(*stage));
    struct text happened = {0};
    unsigned number = 0;
    bool is_expectation = false;
    assert(stage);
    stage_init(stage);
    stage->out = open_memstream(&happened.bytes, &happened.count);
    for (char *line; (line = strsep(&script, "\n")) != NULL && (*line || script);) {
        number++;
        if (!strcmp(line, "----")) {
            fclose(stage->out);
            fprintf(out, "----\n%s", happened.count ? happened.bytes : "ok\n");
            free(happened.bytes);
            stage->out = open_memstream(&happened.bytes, &happened.count);
            is_expectation = true;
        } else if (!*line || !is_expectation) {
            const char *problem = *line && *line != '#' ? command_run(stage, line) : NULL;
            is_expectation = false;
            fprintf(out, "%s\n", line);
            if (problem) {
                fprintf(stderr, "%s:%u: %s: %s\n", path, number, line, problem);
                exit(2);
            }
        }
    }
    fclose(stage->out);
    free(happened.bytes);
    stage_free(stage);
    free(stage);
}

/* The first line that differs, for people. */
static void show_difference(const char *path, char *expected, char *happened)
{
    for (unsigned number = 1; expected || happened; number++) {
        const char *want = expected ? strsep(&expected, "\n") : NULL;
        const char *have = happened ? strsep(&happened, "\n") : NULL;
        if (want && have && !strcmp(want, have))
            continue;
        printf("%s:%u: differs from here on\n  expected: %s\n  happened: %s\n", path, number,
               want ? want : "(the end)", have ? have : "(the end)");
        return;
    }
}

static int run_file(const char *path, bool is_rewriting)
{
    struct text expected = text_read(path), copy = text_read(path), happened = {0};
    FILE *out = open_memstream(&happened.bytes, &happened.count);
    int failed = 0;
    assert(out);
    play(path, copy.bytes, out);
    fclose(out);
    if (is_rewriting) {
        FILE *file = fopen(path, "we");
        failed = !file || fwrite(happened.bytes, 1, happened.count, file) != happened.count ||
                 fclose(file);
        if (failed)
            fprintf(stderr, "%s: cannot be written\n", path);
    } else if (strcmp(expected.bytes, happened.bytes)) {
        show_difference(path, expected.bytes, happened.bytes);
        failed = 1;
    }
    free(expected.bytes);
    free(copy.bytes);
    free(happened.bytes);
    return failed;
}

int main(int argc, char **argv)
{
    bool is_rewriting = argc > 1 && !strcmp(argv[1], "--rewrite");
    int failed = 0;
    if (argc < 2 + is_rewriting) {
        fprintf(stderr, "conure-scenario: want [--rewrite] FILE ...\n");
        return 2;
    }
    for (int i = 1 + is_rewriting; i < argc; i++)
        failed |= run_file(argv[i], is_rewriting);
    return failed;
}
