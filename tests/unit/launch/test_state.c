#include "../unit.h"

#include "state.h"

#include <stdio.h>
#include <string.h>

/* The whole table once more, in words: a row is a state, a column an event. "-" stays and does
 * nothing. */
static const char *const events[EVENT_COUNT] = {
    [EVENT_START] = "start",       [EVENT_STOP] = "stop",     [EVENT_RESTART] = "again",
    [EVENT_NOTIFIED] = "notified", [EVENT_EXITED] = "exited", [EVENT_EXITED_FATAL] = "fatal",
    [EVENT_TIME_UP] = "time",
};

static const char *const actions[] = {
    [ACTION_NONE] = "",          [ACTION_SPAWN] = "spawn",   [ACTION_WELCOME] = "welcome",
    [ACTION_TERMINATE] = "term", [ACTION_KILL] = "kill",     [ACTION_DELAY] = "delay",
    [ACTION_WARN] = "warn",      [ACTION_SETTLE] = "settle",
};

static const struct {
    const char *state, *cells;
} expected[STATE_COUNT] = {
    {"stopped", "start=starting/spawn again=starting/spawn"},
    {"starting", "stop=stopping/term again=restarting/term notified=ready/welcome "
                 "exited=backoff/delay fatal=failed/settle time=starting/warn"},
    {"ready", "stop=stopping/term again=restarting/term exited=backoff/delay fatal=failed/settle"},
    {"stopping", "start=restarting again=restarting exited=stopped/settle fatal=stopped/settle "
                 "time=stopping/kill"},
    {"restarting", "stop=stopping exited=starting/spawn fatal=starting/spawn time=restarting/kill"},
    {"backoff",
     "start=starting/spawn stop=stopped/settle again=starting/spawn time=starting/spawn"},
    {"failed", "start=starting/spawn stop=stopped/settle again=starting/spawn"},
};

static void write_row(enum state state, char *row, size_t row_bytes)
{
    row[0] = '\0';
    for (unsigned event = 0; event < EVENT_COUNT; event++) {
        struct transition cell = state_transition(state, (enum event)event);
        if (cell.next == state && cell.action == ACTION_NONE)
            continue;
        size_t length = strlen(row);
        snprintf(row + length, row_bytes - length, "%s%s=%s%s%s", length ? " " : "", events[event],
                 state_name(cell.next), cell.action ? "/" : "", actions[cell.action]);
    }
}

START_TEST(test_state_table_is_as_written_down)
{
    char row[512];
    for (unsigned state = 0; state < STATE_COUNT; state++) {
        write_row((enum state)state, row, sizeof(row));
        ck_assert_str_eq(state_name((enum state)state), expected[state].state);
        ck_assert_str_eq(row, expected[state].cells);
    }
}
END_TEST

static int has_process(enum state state)
{
    return state == STATE_STARTING || state == STATE_READY || state == STATE_STOPPING ||
           state == STATE_RESTARTING;
}

/* A process appears through SPAWN only and disappears through an exit only, else one would be lost
 * or started twice. */
START_TEST(test_state_process_comes_by_spawn_and_goes_by_exit)
{
    for (unsigned state = 0; state < STATE_COUNT; state++)
        for (unsigned event = 0; event < EVENT_COUNT; event++) {
            struct transition cell = state_transition((enum state)state, (enum event)event);
            int exits = event == EVENT_EXITED || event == EVENT_EXITED_FATAL;
            int before = has_process((enum state)state) && !exits;
            int after = has_process(cell.next);
            ck_assert_msg(!before || cell.action != ACTION_SPAWN, "%s: %s starts a second process",
                          state_name((enum state)state), events[event]);
            ck_assert_msg(after == (before || cell.action == ACTION_SPAWN), "%s: %s loses count",
                          state_name((enum state)state), events[event]);
        }
}
END_TEST

START_TEST(test_state_stop_then_exit_ends_stopped_from_anywhere)
{
    for (unsigned state = 0; state < STATE_COUNT; state++) {
        enum state after = state_transition((enum state)state, EVENT_STOP).next;
        after = state_transition(after, EVENT_EXITED).next;
        ck_assert_int_eq(after, STATE_STOPPED);
    }
}
END_TEST

UNIT_MAIN("launch/state", test_state_table_is_as_written_down,
          test_state_process_comes_by_spawn_and_goes_by_exit,
          test_state_stop_then_exit_ends_stopped_from_anywhere)
