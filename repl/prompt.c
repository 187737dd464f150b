#include "prompt.h"

#include "command.h"
#include "history.h"

#include <errno.h>
#include <histedit.h>
#include <stdio.h>
#include <string.h>

volatile sig_atomic_t prompt_interrupted;

static void prompt_on_interrupt(int signal_number)
{
    (void)signal_number;
    prompt_interrupted = 1;
}

static char *prompt_text(EditLine *editor)
{
    static char text[] = "conure> ";
    (void)editor;
    return text;
}

/* What all commands that begin so have in common behind it; NULL if none does. *ret_complete: it is
 * one whole name. */
static const char *complete_rest(const char *begin, size_t length, size_t *ret_length,
                                 bool *ret_complete)
{
    const char *rest = NULL;
    for (const char *const *name = command_names(); *name; name++) {
        if (strncmp(*name, begin, length) != 0)
            continue;
        const char *own = *name + length;
        *ret_complete = !rest;
        size_t common = 0;
        while (rest && common < *ret_length && own[common] == rest[common])
            common++;
        *ret_length = rest ? common : strlen(own);
        rest = own;
    }
    return rest;
}

/* Tab: completes the first word. */
static unsigned char prompt_complete(EditLine *editor, int key)
{
    char text[32];
    const LineInfo *line = el_line(editor);
    size_t typed = (size_t)(line->cursor - line->buffer), more = 0;
    bool complete = false;
    (void)key;
    if (memchr(line->buffer, ' ', typed))
        return CC_ERROR;
    const char *rest = complete_rest(line->buffer, typed, &more, &complete);
    if (!rest || more + 2 > sizeof(text) || (more == 0 && !complete))
        return CC_ERROR;
    memcpy(text, rest, more);
    strcpy(text + more, complete ? " " : "");
    return el_insertstr(editor, text) < 0 ? CC_ERROR : CC_REFRESH;
}

static EditLine *prompt_open(struct history_file *past)
{
    EditLine *editor = el_init("conure-repl", stdin, stdout, stderr);
    if (!editor)
        return NULL;
    history_open(past);
    (void)el_set(editor, EL_PROMPT, prompt_text);
    (void)el_set(editor, EL_EDITOR, "emacs");
    (void)el_set(editor, EL_SIGNAL, 1); /* resizing, and the terminal's modes over Ctrl-Z */
    if (past->history)
        (void)el_set(editor, EL_HIST, history, past->history);
    (void)el_set(editor, EL_ADDFN, "complete", "complete a command", prompt_complete);
    (void)el_set(editor, EL_BIND, "^I", "complete", NULL);
    (void)el_source(editor, NULL); /* the user's own ~/.editrc */
    return editor;
}

/* False at the end of input. */
static bool prompt_turn(struct session *session, EditLine *editor, struct history_file *past)
{
    char copy[REPL_HISTORY_LINE_BYTES_MAX + 2];
    int length = 0;
    prompt_interrupted = 0;
    const char *line = el_gets(editor, &length);
    if (!line || length <= 0) {
        (void)putchar('\n');
        if (!(length < 0 && errno == EINTR) && !prompt_interrupted)
            return false;
        el_reset(editor);
        return true;
    }
    size_t bytes = (size_t)length - (line[length - 1] == '\n');
    if (bytes <= REPL_HISTORY_LINE_BYTES_MAX) {
        memcpy(copy, line, bytes);
        copy[bytes] = '\0';
        history_add(past, copy);
    }
    (void)session_run_line(session, line, bytes);
    return !session->leaving;
}

int prompt_run(struct session *session)
{
    struct sigaction action = {.sa_handler = prompt_on_interrupt}; /* no SA_RESTART: el_gets ends */
    struct history_file past = {0};
    session->stdin_is_commands = true;
    sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL);
    EditLine *editor = prompt_open(&past);
    if (!editor)
        return session_complain(session, NULL, EXIT_CODE_FAILURE, "cannot use this terminal");
    while (prompt_turn(session, editor, &past))
        ;
    history_close(&past);
    el_end(editor);
    return EXIT_CODE_OK;
}
