#include "logger.h"

#include "clock.h"
#include "limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char *const level_names[] = {"error", "warning", "info", "debug"};

static struct {
    const char *daemon;
    enum logger_level level;
    unsigned long lines_lost;
} logger = {.daemon = "unnamed", .level = LOGGER_INFO};

void logger_start(const char *daemon)
{
    logger.daemon = daemon;
    const char *level = getenv("CONURE_LOG");
    for (unsigned i = 0; level && i < sizeof(level_names) / sizeof(*level_names); i++)
        if (!strcmp(level, level_names[i]))
            logger.level = (enum logger_level)i;
    struct stat status;
    int flags = fcntl(STDERR_FILENO, F_GETFL);
    if (flags >= 0 && !fstat(STDERR_FILENO, &status) && S_ISFIFO(status.st_mode))
        (void)fcntl(STDERR_FILENO, F_SETFL, flags | O_NONBLOCK);
}

static size_t logger_clip(int written, size_t room)
{
    if (written < 0)
        return 0;
    return (size_t)written < room ? (size_t)written : room - 1;
}

static size_t logger_write_head(char *line, size_t bytes, enum logger_level level,
                                const char *event)
{
    uint64_t now_ms = clock_wall_ms();
    time_t seconds = (time_t)(now_ms / 1000u);
    struct tm parts;
    gmtime_r(&seconds, &parts);
    char when[32];
    strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &parts);
    int written = snprintf(line, bytes, "time=%s.%03uZ level=%s daemon=%s event=%s", when,
                           (unsigned)(now_ms % 1000u), level_names[level], logger.daemon, event);
    size_t length = logger_clip(written, bytes);
    if (logger.lines_lost)
        length += logger_clip(
            snprintf(line + length, bytes - length, " lines_lost=%lu", logger.lines_lost),
            bytes - length);
    return length;
}

void logger_event(enum logger_level level, const char *event, const char *format, ...)
{
    if (level > logger.level)
        return;
    char line[LIMIT_LOG_LINE_BYTES_MAX];
    size_t room = sizeof(line) - 1; /* for the newline */
    size_t length = logger_write_head(line, room, level, event);
    if (format[0] && length + 1 < room) {
        line[length++] = ' ';
        va_list arguments;
        va_start(arguments, format);
        length +=
            logger_clip(vsnprintf(line + length, room - length, format, arguments), room - length);
        va_end(arguments);
    }
    line[length++] = '\n';
    ssize_t written;
    do {
        written = write(STDERR_FILENO, line, length);
    } while (written < 0 && errno == EINTR);
    if (written < 0)
        logger.lines_lost++;
    else
        logger.lines_lost = 0;
}

const char *logger_quoted(char *into, unsigned long into_bytes, const char *text)
{
    static const char digits[] = "0123456789abcdef";
    unsigned long at = 0;
    into[at++] = '"';
    for (; *text && at + 6 < into_bytes; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte == '"' || byte == '\\') {
            into[at++] = '\\';
            into[at++] = (char)byte;
        } else if (byte < 0x20 || byte == 0x7f) {
            into[at++] = '\\';
            into[at++] = 'x';
            into[at++] = digits[byte >> 4];
            into[at++] = digits[byte & 15];
        } else {
            into[at++] = (char)byte;
        }
    }
    into[at++] = '"';
    into[at] = '\0';
    return into;
}
