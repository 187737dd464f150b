#include "../unit.h"

#include "clock.h"
#include "loop.h"

#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

static unsigned order[64], order_count;

static void note(unsigned what)
{
    order[order_count++] = what;
}

static void on_timer(void *context)
{
    note(*(unsigned *)context);
}

START_TEST(test_loop_timers_fire_in_order_of_due_time_once)
{
    struct loop *loop;
    struct loop_timer timers[20] = {0};
    unsigned names[20];
    ck_assert_int_eq(loop_new(&loop), 0);
    uint64_t now_ms = loop_now_ms(loop);
    for (unsigned i = 0; i < 20; i++) {
        names[i] = (i * 7) % 20;
        loop_timer_set(loop, &timers[i], now_ms + names[i], on_timer, &names[i]);
    }
    loop_timer_cancel(loop, &timers[3]);                                /* name 1 */
    loop_timer_set(loop, &timers[0], now_ms + 30, on_timer, &names[0]); /* name 0, last now */
    uint64_t until_ms = clock_monotonic_ms() + 5000;
    while (order_count < 19 && clock_monotonic_ms() < until_ms)
        loop_turn(loop, 100);
    ck_assert_uint_eq(order_count, 19);
    for (unsigned i = 0; i < 18; i++)
        ck_assert_uint_eq(order[i], i + 2);
    ck_assert_uint_eq(order[18], 0);
    loop_free(loop);
}
END_TEST

struct pair {
    struct loop *loop;
    struct loop_source *sources[2];
    int pipes[2][2];
};

static void on_either(void *context, uint32_t events)
{
    struct pair *pair = context;
    (void)events;
    note(1);
    loop_unwatch(pair->loop, pair->sources[0]);
    loop_unwatch(pair->loop, pair->sources[1]);
}

static void on_turn_end(void *context)
{
    (void)context;
    note(9);
}

START_TEST(test_loop_source_removed_in_its_turn_is_not_called)
{
    struct pair pair = {0};
    ck_assert_int_eq(loop_new(&pair.loop), 0);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(pipe(pair.pipes[i]), 0);
        ck_assert_int_eq(write(pair.pipes[i][1], "x", 1), 1);
        ck_assert_int_eq(
            loop_watch(pair.loop, pair.pipes[i][0], EPOLLIN, on_either, &pair, &pair.sources[i]),
            0);
    }
    loop_at_turn_end(pair.loop, on_turn_end, NULL);
    loop_turn(pair.loop, 1000);
    ck_assert_uint_eq(order_count, 2);
    ck_assert_uint_eq(order[0], 1);
    ck_assert_uint_eq(order[1], 9);
    loop_turn(pair.loop, 0);
    ck_assert_uint_eq(order_count, 3);
    loop_free(pair.loop);
}
END_TEST

static struct loop_task tasks[3];

static void on_task(void *context)
{
    struct loop *loop = context;
    note(20);
    if (order_count == 2)
        loop_before_wait(loop, &tasks[1], on_task, loop);
}

static void on_turn_end_with_work(void *context)
{
    note(9);
    loop_before_wait(context, &tasks[0], on_task, context);
    loop_before_wait(context, &tasks[0], on_task, context); /* set once, runs once */
    loop_before_wait(context, &tasks[2], on_task, context);
    loop_task_cancel(context, &tasks[2]);
}

START_TEST(test_loop_tasks_run_once_after_the_turn_ends)
{
    struct loop *loop;
    ck_assert_int_eq(loop_new(&loop), 0);
    loop_at_turn_end(loop, on_turn_end_with_work, loop);
    loop_turn(loop, 0);
    ck_assert_uint_eq(order_count, 3); /* the turn's end, the task, and the one it set */
    ck_assert_uint_eq(order[0], 9);
    ck_assert_uint_eq(order[1], 20);
    ck_assert_uint_eq(order[2], 20);
    loop_free(loop);
}
END_TEST

static void on_signal(void *context, int number)
{
    loop_stop(context, number);
}

START_TEST(test_loop_signal_stops_run_with_its_code)
{
    struct loop *loop;
    ck_assert_int_eq(loop_new(&loop), 0);
    ck_assert_int_eq(loop_signal(loop, SIGTERM, on_signal, loop), 0);
    ck_assert_int_eq(loop_signal(loop, SIGUSR1, on_signal, loop), 0);
    ck_assert_int_eq(kill(getpid(), SIGUSR1), 0);
    ck_assert_int_eq(loop_run(loop), SIGUSR1);
    loop_free(loop);
}
END_TEST

UNIT_MAIN("loop", test_loop_timers_fire_in_order_of_due_time_once,
          test_loop_source_removed_in_its_turn_is_not_called,
          test_loop_tasks_run_once_after_the_turn_ends, test_loop_signal_stops_run_with_its_code)
