#include "prompt.h"

#include "complete.h"
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

/* Tab. */
static unsigned char prompt_complete(EditLine *editor, int key)
{
    struct session *session = NULL;
    struct buffer rest = {0};
    const LineInfo *line = el_line(editor);
    (void)key;
    (void)el_get(editor, EL_CLIENTDATA, &session);
    bool found = complete(session, line->buffer, (size_t)(line->cursor - line->buffer), &rest);
    buffer_append(&rest, "", 1);
    found = found && el_insertstr(editor, (const char *)rest.bytes) == 0;
    buffer_free(&rest);
    return found ? CC_REFRESH : CC_ERROR;
}

static EditLine *prompt_open(struct session *session, struct history_file *past)
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
    (void)el_set(editor, EL_CLIENTDATA, session);
    (void)el_set(editor, EL_ADDFN, "complete", "complete a command or a key", prompt_complete);
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
    EditLine *editor = prompt_open(session, &past);
    if (!editor)
        return session_complain(session, NULL, EXIT_CODE_FAILURE, "cannot use this terminal");
    while (prompt_turn(session, editor, &past))
        ;
    history_close(&past);
    el_end(editor);
    return EXIT_CODE_OK;
}
