#include "notify.h"

#include "datadir.h"
#include "launch_limits.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static bool notify_says_ready(char *lines)
{
    for (char *rest = lines, *line; (line = strsep(&rest, "\n"));)
        if (!strcmp(line, "READY=1"))
            return true;
    return false;
}

static pid_t notify_sender(struct msghdr *message)
{
    for (struct cmsghdr *each = CMSG_FIRSTHDR(message); each; each = CMSG_NXTHDR(message, each))
        if (each->cmsg_level == SOL_SOCKET && each->cmsg_type == SCM_CREDENTIALS) {
            struct ucred sender;
            memcpy(&sender, CMSG_DATA(each), sizeof(sender));
            return sender.pid;
        }
    return 0;
}

/* One datagram per turn; the loop comes back while there are more. Descriptors someone sends along
 * find no room in `control` and are closed by the kernel. */
static void notify_on_readable(void *context, uint32_t epoll_events)
{
    struct notify *notify = context;
    char lines[LAUNCH_NOTIFY_BYTES_MAX + 1];
    union {
        struct cmsghdr aligned;
        char bytes[CMSG_SPACE(sizeof(struct ucred))];
    } control;
    struct iovec part = {.iov_base = lines, .iov_len = sizeof(lines) - 1};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    (void)epoll_events;
    ssize_t length = recvmsg(notify->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (length < 0)
        return;
    lines[length] = '\0';
    pid_t pid = notify_sender(&message);
    if (pid > 0 && notify_says_ready(lines))
        notify->fn(notify->context, pid);
}

static int notify_bind(int fd)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = DATADIR_NOTIFY_PATH};
    int on = 1;
    if (unlink(DATADIR_NOTIFY_PATH) < 0 && errno != ENOENT)
        return -errno;
    if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0 ||
        bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        return -errno;
    return 0;
}

int notify_open(struct notify *notify, struct loop *loop, notify_fn *fn, void *context,
                struct error *error)
{
    *notify = (struct notify){.fn = fn, .context = context};
    notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int code = notify->fd < 0 ? -errno : notify_bind(notify->fd);
    if (!code)
        code = loop_watch(loop, notify->fd, EPOLLIN, notify_on_readable, notify, &notify->source);
    if (!code)
        return 0;
    if (notify->fd >= 0)
        (void)close(notify->fd);
    return error_set_errno(error, code, "cannot listen on " DATADIR_NOTIFY_PATH);
}

void notify_close(struct notify *notify, struct loop *loop)
{
    loop_unwatch(loop, notify->source);
    (void)close(notify->fd);
    (void)unlink(DATADIR_NOTIFY_PATH);
}
