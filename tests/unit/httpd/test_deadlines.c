#include "deadlines.h"

#include "clock.h"

#include "../unit.h"

#define COUNT 4u

struct fixture {
    struct loop *loop;
    struct deadlines deadlines;
    struct deadline each[COUNT];
    uint64_t passed_ms[COUNT]; /* 0: not yet */
    unsigned passed;
};

static struct fixture fixture;

static void on_deadline(void *context, struct deadline *deadline)
{
    ck_assert_ptr_eq(context, &fixture);
    size_t place = (size_t)(deadline - fixture.each);
    ck_assert_uint_eq(fixture.passed_ms[place], 0);
    fixture.passed_ms[place] = clock_monotonic_ms();
    fixture.passed++;
}

static void begin(void)
{
    fixture = (struct fixture){0};
    ck_assert_int_eq(loop_new(&fixture.loop), 0);
    deadlines_init(&fixture.deadlines, fixture.loop, on_deadline, &fixture);
    for (unsigned i = 0; i < COUNT; i++)
        deadline_add(&fixture.deadlines, &fixture.each[i]);
}

static void end(void)
{
    for (unsigned i = 0; i < COUNT; i++)
        deadline_remove(&fixture.deadlines, &fixture.each[i]);
    deadlines_finish(&fixture.deadlines);
    loop_free(fixture.loop);
}

/* A missing timer hangs into Check's own limit. */
static void run_until(unsigned passed)
{
    while (fixture.passed < passed)
        loop_turn(fixture.loop, -1);
}

START_TEST(test_deadlines_pass_once_and_not_early)
{
    begin();
    uint64_t began_ms = loop_now_ms(fixture.loop);
    deadline_set(&fixture.deadlines, &fixture.each[0], 900);
    deadline_set(&fixture.deadlines, &fixture.each[1], 100);
    deadline_set(&fixture.deadlines, &fixture.each[2], 500);
    run_until(3);
    ck_assert_uint_ge(fixture.passed_ms[0], began_ms + 900);
    ck_assert_uint_ge(fixture.passed_ms[1], began_ms + 100);
    ck_assert_uint_ge(fixture.passed_ms[2], began_ms + 500);
    ck_assert_uint_lt(fixture.passed_ms[1], fixture.passed_ms[0]);
    ck_assert_uint_eq(fixture.passed_ms[3], 0);
    end();
}
END_TEST

/* Moved on, again and again, as requests do: none passes; then left alone it does. */
START_TEST(test_deadlines_moved_on_do_not_pass)
{
    begin();
    uint64_t until_ms = clock_monotonic_ms() + 1200, last_ms = 0;
    deadline_set(&fixture.deadlines, &fixture.each[1], 400);
    deadline_set(&fixture.deadlines, &fixture.each[1], UINT64_MAX);
    while (clock_monotonic_ms() < until_ms) {
        last_ms = loop_now_ms(fixture.loop);
        deadline_set(&fixture.deadlines, &fixture.each[0], 400);
        loop_turn(fixture.loop, 20);
    }
    ck_assert_uint_eq(fixture.passed, 0);
    run_until(1);
    ck_assert_uint_ge(fixture.passed_ms[0], last_ms + 400);
    end();
}
END_TEST

START_TEST(test_deadlines_earlier_one_moves_the_timer)
{
    begin();
    uint64_t began_ms = loop_now_ms(fixture.loop);
    deadline_set(&fixture.deadlines, &fixture.each[0], 60000);
    deadline_set(&fixture.deadlines, &fixture.each[1], 50);
    run_until(1);
    ck_assert_uint_ge(fixture.passed_ms[1], began_ms + 50);
    ck_assert_uint_lt(fixture.passed_ms[1], began_ms + 30000);
    end();
}
END_TEST

UNIT_MAIN("deadlines", test_deadlines_pass_once_and_not_early, test_deadlines_moved_on_do_not_pass,
          test_deadlines_earlier_one_moves_the_timer)
