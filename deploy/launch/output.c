/* One write(2) per line: under PIPE_BUF bytes, so that a pipe takes it whole or not at all. */
#include "output.h"

#include "launch_limits.h"

#include <errno.h>
#include <linux/limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PREFIX_BYTES_MAX 128u

_Static_assert(PREFIX_BYTES_MAX + LAUNCH_LINE_BYTES_MAX + 1 <= PIPE_BUF,
               "a prefixed line is one atomic write");

struct output output_of(int fd)
{
    const char *terminal = getenv("TERM");
    const char *no_colour = getenv("NO_COLOR");
    bool plain = (no_colour && no_colour[0]) || !terminal || !terminal[0];
    return (struct output){.fd = fd, .is_terminal = !plain && isatty(fd)};
}

static bool output_is_writable(int fd)
{
    struct pollfd ready = {.fd = fd, .events = POLLOUT};
    return poll(&ready, 1, 0) == 1 && (ready.revents & POLLOUT);
}

static size_t output_prefix(const struct output *output, const char *name, unsigned colour,
                            char into[PREFIX_BYTES_MAX])
{
    static const char *const colours[] = {"\033[36m", "\033[33m", "\033[35m", "\033[32m"};
    const char *on = output->is_terminal ? colours[colour % 4] : "";
    const char *off = output->is_terminal ? "\033[0m" : "";
    char lost[40] = "";
    if (output->lines_lost)
        snprintf(lost, sizeof(lost), "(lines_lost=%lu) ", output->lines_lost);
    int length = snprintf(into, PREFIX_BYTES_MAX, "%s%-8.16s |%s %s", on, name, off, lost);
    return length < 0 ? 0 : (size_t)length;
}

void output_line(struct output *output, const char *name, unsigned colour, const char *line,
                 size_t length)
{
    char whole[PREFIX_BYTES_MAX + LAUNCH_LINE_BYTES_MAX + 1];
    size_t at = output_prefix(output, name, colour, whole);
    for (size_t i = 0; i < length && i < LAUNCH_LINE_BYTES_MAX; i++) {
        unsigned char byte = (unsigned char)line[i];
        bool harmless = byte >= 0x20 ? byte != 0x7f : byte == '\t';
        whole[at++] = harmless ? (char)byte : '?'; /* a log line must not drive the terminal */
    }
    whole[at++] = '\n';
    ssize_t written = -1;
    if (output_is_writable(output->fd))
        do
            written = write(output->fd, whole, at);
        while (written < 0 && errno == EINTR);
    if (written < 0)
        output->lines_lost++;
    else
        output->lines_lost = 0;
}
