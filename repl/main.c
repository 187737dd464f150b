/* conure-repl: options, then one command from the command line, a terminal, or a script on stdin.
 */
#include "command.h"
#include "options.h"
#include "prompt.h"
#include "script.h"
#include "session.h"

#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void show_help(void)
{
    struct buffer commands = {0};
    command_append_help(&commands);
    printf(
        "usage: conure-repl [options] [command ...]\n"
        "Asks the nodes of a ConureDB cluster. Without a command: interactive on a terminal, else "
        "a script on\nstandard input, a command per line (# begins a comment line).\n\noptions:\n");
    options_print_help();
    printf("\ncommands:\n");
    (void)display_write(&commands);
    buffer_free(&commands);
    printf("\nThe words of a command on the command line are taken as they are, unless -e is given."
           "\nexit codes: 0 ok, 1 failure, 2 usage, 3 not found, 4 precondition failed, "
           "5 unavailable or unknown;\nof a script: that of its last command that failed\n");
}

static int words_of(char **arguments, unsigned count, struct word *words)
{
    if (count > REPL_WORDS_MAX)
        return -1;
    for (unsigned i = 0; i < count; i++)
        words[i] = (struct word){.bytes = arguments[i], .length = strlen(arguments[i])};
    return 0;
}

/* Replaces the escapes of the command's words (-e). The memory lives as long as the process. */
static int unescape(struct word *words, unsigned count, struct error *error)
{
    for (unsigned i = 0; i < count; i++) {
        struct buffer text = {0};
        int code = word_unescape(words[i].bytes, words[i].length, &text, error);
        if (code)
            return code;
        words[i].length = text.length;
        buffer_append(&text, "", 1);
        words[i].bytes = (const char *)text.bytes;
        words[i].quoted = true;
    }
    return 0;
}

static int fail_usage(const char *text)
{
    fprintf(stderr, "conure-repl: %s\n", text);
    return EXIT_CODE_USAGE;
}

static int run(const struct options *options, struct word *words, unsigned count)
{
    static struct session session;
    bool interactive = count == 0 && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    if (session_open(&session, options, &prompt_interrupted)) {
        fprintf(stderr, "conure-repl: cannot set up libcurl\n");
        return EXIT_CODE_FAILURE;
    }
    int exit_code;
    if (count > 0) {
        struct invocation invocation = {
            .session = &session, .options = options, .words = words, .words_count = count};
        exit_code = command_run(&invocation);
    } else {
        exit_code = interactive ? prompt_run(&session) : script_run(&session, stdin);
    }
    session_close(&session);
    return exit_code;
}

int main(int argc, char **argv)
{
    static struct word words[REPL_WORDS_MAX];
    struct options options = options_default();
    struct error error = {""};
    unsigned count = argc > 0 ? (unsigned)argc - 1 : 0;
    (void)setlocale(LC_CTYPE, "");
    (void)signal(SIGPIPE, SIG_IGN);
    if (words_of(argv + 1, count, words))
        return fail_usage("too many arguments");
    if (options_take(&options, words, &count, &error))
        return fail_usage(error.text);
    if (options.version)
        printf("conure-repl %s\n", CONURE_VERSION);
    else if (options.help)
        show_help();
    if (options.version || options.help)
        return fflush(stdout) ? EXIT_CODE_FAILURE : EXIT_CODE_OK;
    if (options.escapes && unescape(words, count, &error))
        return fail_usage(error.text);
    return run(&options, words, count);
}
