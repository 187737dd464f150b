/* The launcher holds both ends, so the pipe never reaches its end and lives on from one process to
 * the next. If the launcher is killed, the read end goes with it, and the daemons, which ignore
 * SIGPIPE, lose their lines and nothing else. */
#include "journal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

static void journal_on_line(void *context, const char *line, size_t length)
{
    struct journal *journal = context;
    output_line(journal->output, journal->name, journal->colour, line, length);
}

/* At most LAUNCH_LOG_BYTES_PER_TURN: a daemon that writes without end cannot hold the launcher. */
static void journal_read(struct journal *journal)
{
    char bytes[4096];
    size_t budget = LAUNCH_LOG_BYTES_PER_TURN;
    while (budget > 0) {
        ssize_t length = read(journal->read_fd, bytes, sizeof(bytes));
        if (length < 0 && errno == EINTR)
            continue;
        if (length <= 0)
            break;
        line_feed(&journal->splitter, bytes, (size_t)length, journal_on_line, journal);
        budget -= (size_t)length < budget ? (size_t)length : budget;
    }
}

static void journal_on_readable(void *context, uint32_t epoll_events)
{
    (void)epoll_events;
    journal_read(context);
}

int journal_open(struct journal *journal, struct loop *loop, struct output *output,
                 const char *name, unsigned colour)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    journal->name = name;
    journal->colour = colour;
    journal->output = output;
    journal->read_fd = fds[0];
    journal->write_fd = fds[1];
    int code = 0;
    if (fcntl(fds[0], F_SETFL, O_NONBLOCK) < 0)
        code = -errno;
    if (!code)
        code = loop_watch(loop, fds[0], EPOLLIN, journal_on_readable, journal, &journal->source);
    if (code) {
        (void)close(fds[0]);
        (void)close(fds[1]);
    }
    return code;
}

void journal_drain(struct journal *journal)
{
    journal_read(journal);
    line_flush(&journal->splitter, journal_on_line, journal);
}

void journal_close(struct journal *journal, struct loop *loop)
{
    loop_unwatch(loop, journal->source);
    (void)close(journal->read_fd);
    (void)close(journal->write_fd);
}
