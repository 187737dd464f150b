#include "listener.h"

#include "limits.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static int listener_try(const struct addrinfo *found, int *ret_fd)
{
    int on = 1, off = 0;
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (found->ai_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    if (bind(fd, found->ai_addr, found->ai_addrlen) < 0 || listen(fd, LIMIT_LISTEN_BACKLOG) < 0) {
        int code = -errno;
        (void)close(fd);
        return code;
    }
    *ret_fd = fd;
    return 0;
}

/* Each family that was found, `family` first; stops at what is not for want of the family. */
static int listener_try_all(const struct addrinfo *found, int family, int *ret_fd)
{
    int code = -EADDRNOTAVAIL;
    for (int pass = 0; pass < 2; pass++)
        for (const struct addrinfo *each = found; each; each = each->ai_next) {
            if ((each->ai_family == family) == (pass == 1))
                continue;
            code = listener_try(each, ret_fd);
            if (!code || code == -EADDRINUSE || code == -EACCES)
                return code;
        }
    return code;
}

int listener_open(const struct config_address *address, int *ret_fd, struct error *error)
{
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    char text[LIMIT_ADDRESS_BYTES_MAX + 8], port[8];
    config_address_format(address, text, sizeof(text));
    snprintf(port, sizeof(port), "%u", (unsigned)address->port);
    const char *host = address->host[0] ? address->host : NULL;
    int failed = getaddrinfo(host, port, &hints, &found);
    if (failed)
        return error_set(error, -EADDRNOTAVAIL, "cannot listen for HTTP on %s: %s", text,
                         gai_strerror(failed));
    int code = listener_try_all(found, host ? AF_INET : AF_INET6, ret_fd);
    freeaddrinfo(found);
    return code ? error_set_errno(error, code, "cannot listen for HTTP on %s", text) : 0;
}
