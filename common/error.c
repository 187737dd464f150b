#include "error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void error_write(struct error *error, const char *format, va_list arguments)
{
    int length = vsnprintf(error->text, sizeof(error->text), format, arguments);
    if (length < 0)
        error->text[0] = '\0';
    /* What users wrote may be quoted here: one line, no escapes. */
    for (char *at = error->text; *at; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            *at = '?';
}

int error_set(struct error *error, int code, const char *format, ...)
{
    if (error) {
        va_list arguments;
        va_start(arguments, format);
        error_write(error, format, arguments);
        va_end(arguments);
    }
    return code;
}

int error_set_errno(struct error *error, int code, const char *format, ...)
{
    if (error) {
        va_list arguments;
        va_start(arguments, format);
        error_write(error, format, arguments);
        va_end(arguments);
        size_t length = strlen(error->text);
        snprintf(error->text + length, sizeof(error->text) - length, ": %s", strerror(-code));
    }
    return code;
}
