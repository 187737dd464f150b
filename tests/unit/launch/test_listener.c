#include "../unit.h"

#include "listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A port nobody has: the kernel gives it, and it is free again when this returns. */
static uint16_t free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t bytes = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, bytes), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &bytes), 0);
    close(fd);
    return ntohs(address.sin_port);
}

static int try_connect(int family, uint16_t port)
{
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    six.sin6_addr = in6addr_loopback;
    int fd = socket(family, SOCK_STREAM, 0);
    if (fd < 0)
        return -errno;
    int code = family == AF_INET ? connect(fd, (struct sockaddr *)&four, sizeof(four))
                                 : connect(fd, (struct sockaddr *)&six, sizeof(six));
    code = code < 0 ? -errno : 0;
    close(fd);
    return code;
}

static int has_ipv6(void)
{
    int code = try_connect(AF_INET6, 9);
    return code != -EAFNOSUPPORT && code != -EADDRNOTAVAIL;
}

START_TEST(test_listener_empty_host_takes_both_families)
{
    struct config_address address = {.host = "", .port = free_port()};
    int fd;
    ck_assert_int_eq(listener_open(&address, &fd, NULL), 0);
    ck_assert_int_eq(try_connect(AF_INET, address.port), 0);
    if (has_ipv6())
        ck_assert_int_eq(try_connect(AF_INET6, address.port), 0);
}
END_TEST

START_TEST(test_listener_host_takes_that_address_alone)
{
    struct config_address address = {.host = "127.0.0.1", .port = free_port()};
    int fd;
    ck_assert_int_eq(listener_open(&address, &fd, NULL), 0);
    ck_assert_int_eq(try_connect(AF_INET, address.port), 0);
    ck_assert_int_ne(try_connect(AF_INET6, address.port), 0);
}
END_TEST

START_TEST(test_listener_busy_port_is_named)
{
    struct config_address address = {.host = "127.0.0.1", .port = free_port()};
    struct error error = {""};
    char expected[128];
    int first, second = -7;
    ck_assert_int_eq(listener_open(&address, &first, NULL), 0);
    ck_assert_int_eq(listener_open(&address, &second, &error), -EADDRINUSE);
    ck_assert_int_eq(second, -7);
    snprintf(expected, sizeof(expected),
             "cannot listen for HTTP on 127.0.0.1:%u: Address already in use", address.port);
    ck_assert_str_eq(error.text, expected);
}
END_TEST

START_TEST(test_listener_foreign_address_is_refused)
{
    struct config_address address = {.host = "192.0.2.1", .port = free_port()};
    struct error error = {""};
    int fd;
    ck_assert_int_eq(listener_open(&address, &fd, &error), -EADDRNOTAVAIL);
    ck_assert_ptr_nonnull(strstr(error.text, "192.0.2.1:"));
}
END_TEST

UNIT_MAIN("launch/listener", test_listener_empty_host_takes_both_families,
          test_listener_host_takes_that_address_alone, test_listener_busy_port_is_named,
          test_listener_foreign_address_is_refused)
