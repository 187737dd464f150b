#include "../unit.h"

#include "backoff.h"

#define UNREADY ((struct backoff_run){.was_ready = false})
#define READY(ms) ((struct backoff_run){.was_ready = true, .ready_ms = (ms)})

START_TEST(test_backoff_unready_doubles_to_thirty_seconds)
{
    static const uint32_t series[] = {100,  200,   400,   800,   1600,  3200,
                                      6400, 12800, 25600, 30000, 30000, 30000};
    struct backoff backoff = {0};
    for (unsigned i = 0; i < sizeof(series) / sizeof(*series); i++)
        ck_assert_uint_eq(backoff_next(&backoff, UNREADY, 0), series[i]);
}
END_TEST

START_TEST(test_backoff_jitter_takes_up_to_a_quarter)
{
    struct backoff backoff = {0};
    ck_assert_uint_eq(backoff_next(&backoff, UNREADY, UINT32_MAX), 76);
    ck_assert_uint_eq(backoff_next(&backoff, UNREADY, UINT32_MAX / 2), 176);
    for (unsigned i = 0; i < 20; i++)
        (void)backoff_next(&backoff, UNREADY, 0);
    ck_assert_uint_eq(backoff_next(&backoff, UNREADY, UINT32_MAX), 22501);
}
END_TEST

START_TEST(test_backoff_killed_twenty_times_once_ready_stays_under_a_second)
{
    struct backoff backoff = {0};
    uint32_t sum_ms = 0;
    for (unsigned i = 0; i < 20; i++) {
        uint32_t delay_ms = backoff_next(&backoff, READY(5), 0);
        ck_assert_uint_le(delay_ms, 1000);
        sum_ms += delay_ms;
    }
    ck_assert_uint_le(sum_ms, 18000);
    ck_assert_uint_ge(sum_ms, 10000); /* and it is a backoff, not none */
}
END_TEST

START_TEST(test_backoff_ten_seconds_ready_clears_the_past)
{
    struct backoff backoff = {0};
    for (unsigned i = 0; i < 15; i++)
        (void)backoff_next(&backoff, UNREADY, 0);
    ck_assert_uint_eq(backoff_next(&backoff, READY(9999), 0), 1000);
    ck_assert_uint_eq(backoff_next(&backoff, READY(10000), 0), 100);
    ck_assert_uint_eq(backoff_next(&backoff, UNREADY, 0), 200);
}
END_TEST

UNIT_MAIN("launch/backoff", test_backoff_unready_doubles_to_thirty_seconds,
          test_backoff_jitter_takes_up_to_a_quarter,
          test_backoff_killed_twenty_times_once_ready_stays_under_a_second,
          test_backoff_ten_seconds_ready_clears_the_past)
