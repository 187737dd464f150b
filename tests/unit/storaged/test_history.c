#include "history.h"

#include "watch.h"

#include "../unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct history *history;

static void add(uint64_t index, const char *key, size_t value_bytes)
{
    static uint8_t value[HISTORY_BYTES_MAX + 1];
    history_add(history, index, WATCH_PUT, (struct node_bytes){(const uint8_t *)key, strlen(key)},
                (struct node_bytes){value, value_bytes});
}

static void check(uint64_t index, uint32_t skip, uint64_t found_index, uint32_t found_ordinal,
                  const char *found_key)
{
    const struct history_change *change = history_at(history, history_find(history, index, skip));
    ck_assert_ptr_nonnull(change);
    ck_assert_uint_eq(change->index, found_index);
    ck_assert_uint_eq(change->ordinal, found_ordinal);
    ck_assert_uint_eq(change->key_bytes, strlen(found_key));
    ck_assert_mem_eq(change->bytes, found_key, strlen(found_key));
}

START_TEST(test_history_finds_the_first_change_from_a_place_on)
{
    history = history_new(4);
    ck_assert_uint_eq(history_oldest(history), 5);
    ck_assert_ptr_null(history_at(history, history_find(history, 1, 0)));
    add(5, "a", 1);
    add(7, "b", 1); /* 6 changed nothing; 7 several keys */
    add(7, "c", 0);
    add(7, "d", 1);
    add(9, "e", 1);
    check(1, 0, 5, 1, "a");
    check(5, 1, 7, 1, "b");
    check(6, 0, 7, 1, "b");
    check(7, 1, 7, 2, "c");
    check(7, 2, 7, 3, "d");
    check(7, 3, 9, 1, "e");
    check(8, 9, 9, 1, "e");
    ck_assert_ptr_null(history_at(history, history_find(history, 10, 0)));
    history_reset(history, 20);
    ck_assert_uint_eq(history_oldest(history), 21);
    ck_assert_ptr_null(history_at(history, history_find(history, 1, 0)));
    add(21, "f", 1);
    check(21, 0, 21, 1, "f");
    history_free(history);
}
END_TEST

START_TEST(test_history_is_bounded_in_changes)
{
    char key[24];
    history = history_new(0);
    for (uint64_t i = 1; i <= 3 * HISTORY_CHANGES_MAX; i++) {
        snprintf(key, sizeof(key), "%llu", (unsigned long long)i);
        add(i, key, 0);
    }
    uint64_t oldest = history_oldest(history);
    ck_assert_uint_eq(oldest, 2 * HISTORY_CHANGES_MAX + 1);
    snprintf(key, sizeof(key), "%llu", (unsigned long long)oldest);
    check(oldest, 0, oldest, 1, key);
    history_free(history);
}
END_TEST

/* An entry of which the first changes are forgotten is not whole. */
START_TEST(test_history_is_bounded_in_bytes_and_whole_by_entries)
{
    history = history_new(0);
    add(1, "a", HISTORY_BYTES_MAX / 4);
    add(1, "b", HISTORY_BYTES_MAX / 4);
    add(2, "c", HISTORY_BYTES_MAX / 4);
    ck_assert_uint_eq(history_oldest(history), 1);
    add(3, "d", HISTORY_BYTES_MAX / 4);
    ck_assert_uint_eq(history_oldest(history), 2);
    check(2, 0, 2, 1, "c");
    add(4, "e", HISTORY_BYTES_MAX); /* too large with any other */
    ck_assert_uint_eq(history_oldest(history), 4);
    check(4, 0, 4, 1, "e");
    add(5, "f", 1);
    ck_assert_uint_eq(history_oldest(history), 5);
    history_free(history);
}
END_TEST

UNIT_MAIN("history", test_history_finds_the_first_change_from_a_place_on,
          test_history_is_bounded_in_changes, test_history_is_bounded_in_bytes_and_whole_by_entries)
