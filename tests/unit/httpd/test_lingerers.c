#include "lingerers.h"

#include "clock.h"
#include "httpd_limits.h"

#include "../unit.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void turn_until_empty(struct loop *loop, const struct lingerers *lingerers)
{
    while (!lingerers_is_empty(lingerers))
        loop_turn(loop, -1);
}

/* ends[0] is the client's. */
static void take_pair(struct lingerers *lingerers, int ends[2])
{
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    lingerers_take(lingerers, ends[1]);
    ck_assert_int_eq(close(ends[1]), 0); /* as its owner does */
}

START_TEST(test_lingerers_read_until_the_client_closes)
{
    struct loop *loop;
    int ends[2];
    char bytes[1000] = {0};
    ck_assert_int_eq(loop_new(&loop), 0);
    struct lingerers *lingerers = lingerers_new(loop);
    take_pair(lingerers, ends);
    for (int i = 0; i < 10; i++) {
        ck_assert_int_eq(send(ends[0], bytes, sizeof(bytes), MSG_NOSIGNAL), sizeof(bytes));
        loop_turn(loop, 1000);
        ck_assert(!lingerers_is_empty(lingerers));
    }
    uint64_t began_ms = clock_monotonic_ms();
    ck_assert_int_eq(close(ends[0]), 0);
    turn_until_empty(loop, lingerers);
    ck_assert_uint_lt(clock_monotonic_ms() - began_ms, HTTPD_LINGER_MS_MAX);
    lingerers_free(lingerers);
    loop_free(loop);
}
END_TEST

START_TEST(test_lingerers_silent_client_is_left_in_time)
{
    struct loop *loop;
    int ends[2];
    ck_assert_int_eq(loop_new(&loop), 0);
    struct lingerers *lingerers = lingerers_new(loop);
    take_pair(lingerers, ends);
    turn_until_empty(loop, lingerers); /* Check's limit catches a missing timer */
    ck_assert_int_eq(send(ends[0], "x", 1, MSG_NOSIGNAL), -1);
    ck_assert_int_eq(errno, EPIPE);
    lingerers_free(lingerers);
    loop_free(loop);
}
END_TEST

START_TEST(test_lingerers_beyond_the_limit_are_closed)
{
    struct loop *loop;
    int ends[HTTPD_LINGER_COUNT_MAX + 1][2];
    ck_assert_int_eq(loop_new(&loop), 0);
    struct lingerers *lingerers = lingerers_new(loop);
    for (unsigned i = 0; i <= HTTPD_LINGER_COUNT_MAX; i++)
        take_pair(lingerers, ends[i]);
    ck_assert_int_eq(send(ends[0][0], "x", 1, MSG_NOSIGNAL), 1);
    ck_assert_int_eq(send(ends[HTTPD_LINGER_COUNT_MAX][0], "x", 1, MSG_NOSIGNAL), -1);
    lingerers_free(lingerers); /* closes the rest */
    ck_assert_int_eq(send(ends[0][0], "x", 1, MSG_NOSIGNAL), -1);
    loop_free(loop);
}
END_TEST

UNIT_MAIN("lingerers", test_lingerers_read_until_the_client_closes,
          test_lingerers_silent_client_is_left_in_time, test_lingerers_beyond_the_limit_are_closed)
