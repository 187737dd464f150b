/* Log lines on stderr: `time=2026-01-31T12:00:00.123Z level=info daemon=raftd event=leader term=3`.
 *
 * One line per event, key=value. Libraries don't log; daemons do. A full or closed pipe never
 * blocks or kills the daemon: the line is dropped and counted, and the next line that gets through
 * says how many went missing (lines_lost=N). Not thread-safe: the loop thread logs. */
#pragma once

enum logger_level { LOGGER_ERROR, LOGGER_WARNING, LOGGER_INFO, LOGGER_DEBUG };

/* Names the daemon in every further line. `daemon` must live on. Makes stderr non-blocking if it is
 * a pipe. CONURE_LOG=error|warning|info|debug in the environment sets the level; info else. */
void logger_start(const char *daemon);

/* `event` is one word, `format` gives the key=value fields ("" for none). Use logger_quoted for
 * text. */
void logger_event(enum logger_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Copies text into `into`, in double quotes, with control characters, quotes and backslashes
 * escaped, cut to fit. Returns `into`, to be used as a %s argument. */
const char *logger_quoted(char *into, unsigned long into_bytes, const char *text);

#define logger_error(event, ...) logger_event(LOGGER_ERROR, event, __VA_ARGS__)
#define logger_warning(event, ...) logger_event(LOGGER_WARNING, event, __VA_ARGS__)
#define logger_info(event, ...) logger_event(LOGGER_INFO, event, __VA_ARGS__)
#define logger_debug(event, ...) logger_event(LOGGER_DEBUG, event, __VA_ARGS__)
