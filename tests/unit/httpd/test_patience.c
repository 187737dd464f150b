#include "patience.h"

#include "clock.h"

#include "../unit.h"

#include <stdio.h>

struct fixture {
    struct loop *loop;
    struct patience patience;
    struct request requests[3];
    unsigned ended;
    struct request *order[3];
    uint64_t ended_ms[3];
};

static void on_end(void *context, struct request *request)
{
    struct fixture *fixture = context;
    patience_end(request);
    fixture->ended_ms[fixture->ended] = clock_monotonic_ms();
    fixture->order[fixture->ended++] = request;
}

static void fixture_begin(struct fixture *fixture, uint64_t wait_ms)
{
    *fixture = (struct fixture){0};
    ck_assert_int_eq(loop_new(&fixture->loop), 0);
    patience_init(&fixture->patience, fixture->loop, wait_ms, on_end, fixture);
}

/* Turns until `ended` have ended; a turn waits for the timer, so a missing one hangs into Check's
 * own limit. */
static void run_until(struct fixture *fixture, unsigned ended)
{
    while (fixture->ended < ended)
        loop_turn(fixture->loop, -1);
}

START_TEST(test_patience_ends_in_order_and_not_early)
{
    struct fixture fixture;
    fixture_begin(&fixture, 30);
    uint64_t began_ms = loop_now_ms(fixture.loop);
    for (unsigned i = 0; i < 3; i++)
        patience_begin(&fixture.patience, &fixture.requests[i]);
    run_until(&fixture, 3);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_ptr_eq(fixture.order[i], &fixture.requests[i]);
        ck_assert_uint_ge(fixture.ended_ms[i], began_ms + 30);
    }
    loop_free(fixture.loop);
}
END_TEST

START_TEST(test_patience_ended_request_is_left_alone)
{
    struct fixture fixture;
    fixture_begin(&fixture, 20);
    patience_begin(&fixture.patience, &fixture.requests[0]);
    patience_begin(&fixture.patience, &fixture.requests[1]);
    patience_end(&fixture.requests[0]);
    patience_end(&fixture.requests[0]); /* again does nothing */
    run_until(&fixture, 1);
    ck_assert_ptr_eq(fixture.order[0], &fixture.requests[1]);
    ck_assert(TAILQ_EMPTY(&fixture.patience.waiting));
    loop_free(fixture.loop);
}
END_TEST

/* The timer of a request that is gone must not end a younger one before its time. */
START_TEST(test_patience_younger_request_gets_its_whole_time)
{
    struct fixture fixture;
    for (;;) {
        fixture_begin(&fixture, 40);
        patience_begin(&fixture.patience, &fixture.requests[0]);
        uint64_t until_ms = clock_monotonic_ms() + 25;
        while (clock_monotonic_ms() < until_ms)
            loop_turn(fixture.loop, 1);
        if (fixture.ended == 0)
            break;
        loop_free(fixture.loop); /* the machine slept over its time: once more */
    }
    patience_end(&fixture.requests[0]);
    uint64_t began_ms = loop_now_ms(fixture.loop);
    patience_begin(&fixture.patience, &fixture.requests[1]);
    run_until(&fixture, 1);
    ck_assert_uint_ge(fixture.ended_ms[0], began_ms + 40);
    loop_free(fixture.loop);
}
END_TEST

START_TEST(test_patience_exhaust_ends_all_now)
{
    struct fixture fixture;
    fixture_begin(&fixture, 3600000);
    for (unsigned i = 0; i < 3; i++)
        patience_begin(&fixture.patience, &fixture.requests[i]);
    patience_exhaust(&fixture.patience);
    ck_assert_uint_eq(fixture.ended, 3);
    ck_assert_uint_eq(fixture.patience.timer.place, 0);
    loop_free(fixture.loop);
}
END_TEST

UNIT_MAIN("patience", test_patience_ends_in_order_and_not_early,
          test_patience_ended_request_is_left_alone,
          test_patience_younger_request_gets_its_whole_time, test_patience_exhaust_ends_all_now)
