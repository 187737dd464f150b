/* A call reads one line, then only its end is watched for: a caller who goes away is forgotten,
 * what he asked for goes on. */
#include "control.h"

#include "datadir.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void call_end(struct control_call *call)
{
    loop_timer_cancel(call->control->loop, &call->timer);
    loop_unwatch(call->control->loop, call->source);
    (void)close(call->fd);
    call->fd = -1;
}

static void call_on_silence(void *context)
{
    call_end(context);
}

static void call_on_late(void *context)
{
    struct control_call *call = context;
    call->control->handlers.on_late(call->control->handlers.context, call);
}

static void call_take_line(struct control_call *call, size_t length)
{
    struct control *control = call->control;
    call->line[length] = '\0';
    call->asked = true;
    loop_timer_set(control->loop, &call->timer, loop_now_ms(control->loop) + LAUNCH_COMMAND_MS_MAX,
                   call_on_late, call);
    if (loop_watch_change(control->loop, call->source, 0)) /* EPOLLHUP and EPOLLERR only */
        call_end(call);
    else
        control->handlers.on_request(control->handlers.context, call, call->line);
}

static void call_read(struct control_call *call)
{
    size_t room = sizeof(call->line) - call->length;
    ssize_t length = recv(call->fd, call->line + call->length, room, MSG_DONTWAIT);
    if (length < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (length <= 0) {
        call_end(call);
        return;
    }
    call->length += (size_t)length;
    char *newline = memchr(call->line, '\n', call->length);
    if (newline)
        call_take_line(call, (size_t)(newline - call->line));
    else if (call->length == sizeof(call->line))
        control_answer(call, "{\"ok\":false,\"message\":\"line too long\"}");
}

static void call_on_ready(void *context, uint32_t epoll_events)
{
    struct control_call *call = context;
    if (!call->asked && (epoll_events & EPOLLIN))
        call_read(call);
    else if (epoll_events & (EPOLLHUP | EPOLLERR))
        call_end(call);
}

void control_answer(struct control_call *call, const char *text)
{
    size_t length = strlen(text);
    struct iovec parts[] = {{.iov_base = (char *)(uintptr_t)text, .iov_len = length},
                            {.iov_base = (char[]){'\n'}, .iov_len = 1}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    assert(length <= LAUNCH_REPLY_BYTES_MAX); /* the socket's empty buffer takes it whole */
    (void)sendmsg(call->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    call_end(call);
}

/* ---- the listening socket ---- */

static struct control_call *control_free_call(struct control *control)
{
    for (unsigned i = 0; i < LAUNCH_CONTROL_CONNECTIONS_MAX; i++)
        if (control->calls[i].fd < 0)
            return &control->calls[i];
    return NULL;
}

static void control_on_connection(void *context, uint32_t epoll_events)
{
    struct control *control = context;
    (void)epoll_events;
    int fd = accept4(control->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    struct control_call *call = control_free_call(control);
    if (!call) {
        (void)close(fd);
        return;
    }
    *call = (struct control_call){.control = control, .fd = fd};
    if (loop_watch(control->loop, fd, EPOLLIN, call_on_ready, call, &call->source)) {
        (void)close(fd);
        call->fd = -1;
        return;
    }
    loop_timer_set(control->loop, &call->timer, loop_now_ms(control->loop) + LAUNCH_REQUEST_MS_MAX,
                   call_on_silence, call);
}

static int control_listen(int fd)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = DATADIR_CONTROL_PATH};
    if (unlink(DATADIR_CONTROL_PATH) < 0 && errno != ENOENT)
        return -errno;
    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(fd, LAUNCH_CONTROL_CONNECTIONS_MAX) < 0)
        return -errno;
    return 0;
}

int control_open(struct control *control, struct loop *loop, struct control_handlers handlers,
                 struct error *error)
{
    *control = (struct control){.loop = loop, .handlers = handlers};
    for (unsigned i = 0; i < LAUNCH_CONTROL_CONNECTIONS_MAX; i++)
        control->calls[i].fd = -1;
    control->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int code = control->fd < 0 ? -errno : control_listen(control->fd);
    if (!code)
        code = loop_watch(loop, control->fd, EPOLLIN, control_on_connection, control,
                          &control->source);
    if (!code)
        return 0;
    if (control->fd >= 0)
        (void)close(control->fd);
    return error_set_errno(error, code, "cannot listen on " DATADIR_CONTROL_PATH);
}

void control_each(struct control *control, control_call_fn *fn, void *context)
{
    for (unsigned i = 0; i < LAUNCH_CONTROL_CONNECTIONS_MAX; i++)
        if (control->calls[i].fd >= 0 && control->calls[i].asked)
            fn(context, &control->calls[i]);
}

void control_close(struct control *control)
{
    for (unsigned i = 0; i < LAUNCH_CONTROL_CONNECTIONS_MAX; i++)
        if (control->calls[i].fd >= 0)
            call_end(&control->calls[i]);
    loop_unwatch(control->loop, control->source);
    (void)close(control->fd);
    (void)unlink(DATADIR_CONTROL_PATH);
}
