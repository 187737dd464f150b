#include "listener.h"

#include "limits.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int listener_bind(const struct sockaddr *address, socklen_t bytes, int *ret_fd)
{
    int on = 1, off = 0;
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (address->sa_family == AF_INET6 &&
        IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr))
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    if (bind(fd, address, bytes) < 0 || listen(fd, LIMIT_LISTEN_BACKLOG) < 0) {
        int code = -errno;
        (void)close(fd);
        return code;
    }
    *ret_fd = fd;
    return 0;
}

static int listener_bind_any(uint16_t port, int *ret_fd)
{
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port)};
    int code = listener_bind((const struct sockaddr *)&six, sizeof(six), ret_fd);
    if (code == -EAFNOSUPPORT || code == -EADDRNOTAVAIL) /* a machine without IPv6 */
        code = listener_bind((const struct sockaddr *)&four, sizeof(four), ret_fd);
    return code;
}

/* The first address that can be bound, IPv4 before IPv6; else the first failure. */
static int listener_bind_found(const struct addrinfo *found, int *ret_fd)
{
    static const int families[] = {AF_INET, AF_INET6};
    int first = 0;
    for (unsigned i = 0; i < 2; i++)
        for (const struct addrinfo *each = found; each; each = each->ai_next) {
            if (each->ai_family != families[i])
                continue;
            int code = listener_bind(each->ai_addr, each->ai_addrlen, ret_fd);
            if (!code)
                return 0;
            first = first ? first : code;
        }
    return first ? first : -EADDRNOTAVAIL;
}

int listener_open(const struct config_address *address, int *ret_fd, struct error *error)
{
    char text[LIMIT_ADDRESS_BYTES_MAX + 8], port[8];
    config_address_format(address, text, sizeof(text));
    int code;
    if (address->host[0]) {
        struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
                                 .ai_socktype = SOCK_STREAM};
        struct addrinfo *found = NULL;
        snprintf(port, sizeof(port), "%u", (unsigned)address->port);
        int failed = getaddrinfo(address->host, port, &hints, &found);
        if (failed)
            return error_set(error, -EADDRNOTAVAIL, "cannot listen for HTTP on %s: %s", text,
                             gai_strerror(failed));
        code = listener_bind_found(found, ret_fd);
        freeaddrinfo(found);
    } else {
        code = listener_bind_any(address->port, ret_fd);
    }
    return code ? error_set_errno(error, code, "cannot listen for HTTP on %s", text) : 0;
}
