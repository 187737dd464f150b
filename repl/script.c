#include "script.h"

#include <errno.h>

/* One line without its newline. 1 if there is one, 0 at the end, -EFBIG if it is too long. */
static int script_read_line(FILE *input, struct buffer *line)
{
    int byte;
    buffer_clear(line, 1u << 20);
    while ((byte = getc_unlocked(input)) != EOF && byte != '\n') {
        if (line->length == REPL_LINE_BYTES_MAX)
            return -EFBIG;
        *buffer_reserve(line, 1) = (uint8_t)byte;
        line->length++;
    }
    return byte != EOF || line->length > 0;
}

int script_run(struct session *session, FILE *input)
{
    struct buffer line = {0};
    int more = 0;
    session->stdin_is_commands = true;
    session->display.several = true;
    while (!session->leaving && (more = script_read_line(input, &line)) > 0) {
        session->line_number++;
        (void)session_run_line(session, (const char *)line.bytes, line.length);
    }
    session->line_number += more < 0;
    if (more < 0)
        session->exit_code =
            session_complain(session, NULL, EXIT_CODE_FAILURE,
                             "the line is longer than %u bytes; stopped here", REPL_LINE_BYTES_MAX);
    else if (ferror(input))
        session->exit_code =
            session_complain(session, NULL, EXIT_CODE_FAILURE, "cannot read standard input");
    buffer_free(&line);
    return session->exit_code;
}
