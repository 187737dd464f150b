#include "../unit.h"

#include "bus_descriptor.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct pair {
    nng_stream *dialed, *accepted;
};

static nng_stream_listener *listener;
static nng_stream_dialer *dialer;
static nng_aio *dialing, *accepting, *moving;

static void start(const char *url)
{
    char bound[64];
    int port;
    ck_assert_int_eq(nng_stream_listener_alloc(&listener, url), 0);
    ck_assert_int_eq(nng_stream_listener_listen(listener), 0);
    if (!nng_stream_listener_get_int(listener, NNG_OPT_TCP_BOUND_PORT, &port)) {
        snprintf(bound, sizeof(bound), "tcp://127.0.0.1:%d", port);
        url = bound;
    }
    ck_assert_int_eq(nng_stream_dialer_alloc(&dialer, url), 0);
    ck_assert_int_eq(nng_aio_alloc(&dialing, NULL, NULL), 0);
    ck_assert_int_eq(nng_aio_alloc(&accepting, NULL, NULL), 0);
    ck_assert_int_eq(nng_aio_alloc(&moving, NULL, NULL), 0);
}

static void start_ipc(void)
{
    char url[64];
    snprintf(url, sizeof(url), "ipc:///tmp/conure-test-descriptor-%d.sock", getpid());
    start(url);
}

static void start_tcp(void)
{
    start("tcp://127.0.0.1:0");
}

static struct pair connect_pair(void)
{
    nng_stream_listener_accept(listener, accepting);
    nng_stream_dialer_dial(dialer, dialing);
    nng_aio_wait(dialing);
    nng_aio_wait(accepting);
    ck_assert_int_eq(nng_aio_result(dialing), 0);
    ck_assert_int_eq(nng_aio_result(accepting), 0);
    return (struct pair){nng_aio_get_output(dialing, 0), nng_aio_get_output(accepting, 0)};
}

/* As the bus does: freeing alone ends it some time later. */
static void end(nng_stream *connection)
{
    nng_stream_close(connection);
    nng_stream_free(connection);
}

static void part(struct pair pair)
{
    end(pair.dialed);
    end(pair.accepted);
}

static bool has_input(int fd, int wait_ms)
{
    struct pollfd state = {.fd = fd, .events = POLLIN};
    return poll(&state, 1, wait_ms) == 1 && (state.revents & POLLIN);
}

static void say(nng_stream *connection)
{
    char byte = 'x';
    nng_iov iov = {.iov_buf = &byte, .iov_len = 1};
    ck_assert_int_eq(nng_aio_set_iov(moving, 1, &iov), 0);
    nng_stream_send(connection, moving);
    nng_aio_wait(moving);
    ck_assert_int_eq(nng_aio_result(moving), 0);
}

/* It is the socket in which what the other end says arrives. */
static void check_is_of(int fd, nng_stream *other_end)
{
    ck_assert_int_ge(fd, 0);
    ck_assert(!has_input(fd, 0));
    say(other_end);
    ck_assert(has_input(fd, 5000));
}

static void finish(void)
{
    nng_aio_free(dialing);
    nng_aio_free(accepting);
    nng_aio_free(moving);
    nng_stream_dialer_free(dialer);
    nng_stream_listener_free(listener);
}

static void check_both_ends(void)
{
    struct pair pair = connect_pair();
    int dialed_fd = bus_descriptor_dup(pair.dialed, false);
    int accepted_fd = bus_descriptor_dup(pair.accepted, true);
    check_is_of(dialed_fd, pair.accepted);
    check_is_of(accepted_fd, pair.dialed);
    ck_assert_int_eq(bus_descriptor_dup(pair.dialed, false), -1); /* it is taken */
    close(dialed_fd);
    close(accepted_fd);
    part(pair);
    finish();
}

START_TEST(test_descriptor_of_both_ends_of_ipc)
{
    start_ipc();
    check_both_ends();
}
END_TEST

START_TEST(test_descriptor_of_both_ends_of_tcp)
{
    start_tcp();
    check_both_ends();
}
END_TEST

START_TEST(test_descriptor_of_a_second_connection)
{
    start_ipc();
    struct pair first = connect_pair();
    int first_fd = bus_descriptor_dup(first.dialed, false);
    struct pair second = connect_pair();
    int second_fd = bus_descriptor_dup(second.dialed, false);
    check_is_of(second_fd, second.accepted);
    check_is_of(first_fd, first.accepted);
    close(first_fd);
    close(second_fd);
    part(first);
    part(second);
    finish();
}
END_TEST

START_TEST(test_descriptor_is_none_where_two_fit)
{
    start_ipc();
    struct pair first = connect_pair(), second = connect_pair();
    ck_assert_int_eq(bus_descriptor_dup(first.dialed, false), -1);
    ck_assert_int_eq(bus_descriptor_dup(second.accepted, true), -1);
    part(first);
    int fd = bus_descriptor_dup(second.dialed, false);
    check_is_of(fd, second.accepted);
    close(fd);
    part(second);
    finish();
}
END_TEST

START_TEST(test_descriptor_of_tcp_is_told_by_its_addresses)
{
    start_tcp();
    struct pair first = connect_pair(), second = connect_pair();
    int fds[2] = {bus_descriptor_dup(second.accepted, true),
                  bus_descriptor_dup(first.dialed, false)};
    check_is_of(fds[0], second.dialed);
    check_is_of(fds[1], first.accepted);
    close(fds[0]);
    close(fds[1]);
    part(first);
    part(second);
    finish();
}
END_TEST

START_TEST(test_descriptor_is_none_of_what_is_over)
{
    start_ipc();
    struct pair pair = connect_pair();
    end(pair.accepted);
    ck_assert_int_eq(bus_descriptor_dup(pair.dialed, false), -1);
    end(pair.dialed);
    finish();
}
END_TEST

UNIT_MAIN("bus_descriptor", test_descriptor_of_both_ends_of_ipc,
          test_descriptor_of_both_ends_of_tcp, test_descriptor_of_a_second_connection,
          test_descriptor_is_none_where_two_fit, test_descriptor_of_tcp_is_told_by_its_addresses,
          test_descriptor_is_none_of_what_is_over)
