#include "../unit.h"

#include "freemap.h"

#include <string.h>

/* `pages` pages, of which those from 10 on are reusable. */
static struct freemap map_of(uint64_t pages)
{
    struct freemap map = {0};
    freemap_grow(&map, pages);
    freemap_leave(&map, 10, (uint32_t)pages - 10);
    freemap_make_reusable(&map, 10, (uint32_t)pages - 10);
    return map;
}

static void commit(struct freemap *map, uint64_t build)
{
    freemap_on_commit(map, build);
    ck_assert(freemap_release_some(map, SIZE_MAX));
}

START_TEST(test_freemap_runs_are_found_across_words_and_never_twice)
{
    struct freemap map = map_of(1000);
    bool taken[1000] = {false};
    uint64_t left = 990;
    for (uint32_t pages = 1; left > 0; pages = pages % 130 + 1) {
        uint64_t number = freemap_take(&map, pages);
        if (!number) {
            ck_assert_uint_gt(pages, 1); /* a single page is there as long as one is left */
            pages = 0;
            continue;
        }
        for (uint64_t at = number; at < number + pages; at++) {
            ck_assert(at >= 10 && at < 1000 && !taken[at]);
            taken[at] = true;
        }
        left -= pages;
        ck_assert_uint_eq(map.reusable_count, left);
        ck_assert_uint_eq(map.unused_count, left);
    }
    ck_assert_uint_eq(freemap_take(&map, 1), 0);
    freemap_free(&map);
}
END_TEST

START_TEST(test_freemap_counts_only_what_a_run_fits_in)
{
    struct freemap map = map_of(1000);
    ck_assert_uint_eq(freemap_count_in_runs(&map, 1, 2000), 990);
    ck_assert_uint_eq(freemap_count_in_runs(&map, 100, 2000), 900);
    ck_assert_uint_eq(freemap_count_in_runs(&map, 100, 150), 200);
    ck_assert_uint_eq(freemap_count_in_runs(&map, 991, 2000), 0);
    while (map.reusable_count > 0) /* every second one is left */
        ck_assert_uint_gt(freemap_take(&map, 1), 0);
    for (uint64_t at = 10; at < 1000; at += 2) {
        freemap_leave(&map, at, 1);
        freemap_make_reusable(&map, at, 1);
    }
    ck_assert_uint_eq(freemap_count_in_runs(&map, 1, 2000), 495);
    ck_assert_uint_eq(freemap_count_in_runs(&map, 2, 2000), 0);
    freemap_free(&map);
}
END_TEST

START_TEST(test_freemap_page_waits_for_the_commit_after_its_own)
{
    struct freemap map = {0};
    freemap_grow(&map, 20);
    freemap_leave(&map, 5, 2);
    freemap_wait(&map, 5, 2, 7);
    commit(&map, 6);
    commit(&map, 7);
    ck_assert(freemap_is_unused(&map, 5));
    ck_assert_uint_eq(freemap_take(&map, 1), 0);
    commit(&map, 8);
    ck_assert_uint_eq(freemap_take(&map, 2), 5);
    ck_assert(!freemap_is_unused(&map, 5));
    freemap_free(&map);
}
END_TEST

START_TEST(test_freemap_released_in_steps_of_bounded_size)
{
    enum { RUNS = 100 };
    struct freemap map = {0};
    freemap_grow(&map, 1000);
    for (unsigned i = 0; i < RUNS; i++) {
        freemap_leave(&map, 10 + 5 * i, 4);
        freemap_wait(&map, 10 + 5 * i, 4, i < RUNS / 2 ? 1 : 2);
    }
    freemap_on_commit(&map, 2);
    for (unsigned step = 1; step < RUNS / 10; step++) {
        ck_assert(!freemap_release_some(&map, 20));
        ck_assert_uint_eq(map.reusable_count, step * 20);
    }
    ck_assert(freemap_release_some(&map, 20));
    ck_assert_uint_eq(map.reusable_count, RUNS / 2 * 4);
    freemap_leave(&map, 700, 4); /* what comes later waits behind what is left */
    freemap_wait(&map, 700, 4, 3);
    commit(&map, 3);
    ck_assert_uint_eq(map.reusable_count, RUNS * 4);
    commit(&map, 4);
    ck_assert_uint_eq(map.reusable_count, RUNS * 4 + 4);
    freemap_free(&map);
}
END_TEST

START_TEST(test_freemap_trim_ends_behind_the_last_page_in_use)
{
    struct freemap map = map_of(500);
    freemap_trim(&map);
    ck_assert_uint_eq(map.pages, 10);
    ck_assert_uint_eq(map.unused_count, 0);
    ck_assert_uint_eq(freemap_take(&map, 1), 0);
    freemap_grow(&map, 100); /* in use until said otherwise */
    ck_assert_uint_eq(map.unused_count, 0);
    freemap_leave(&map, 90, 10);
    freemap_wait(&map, 90, 10, 1);
    freemap_trim(&map); /* they wait: a meta may reach them */
    ck_assert_uint_eq(map.pages, 100);
    freemap_free(&map);
}
END_TEST

START_TEST(test_freemap_load_keeps_what_the_meta_before_reaches)
{
    struct freemap map = {0};
    static const uint8_t newest[] = {0xf0, 0xff}, previous[] = {0xc0};
    freemap_load(&map, 16, newest, sizeof(newest), previous, sizeof(previous));
    ck_assert_uint_eq(map.unused_count, 12);
    ck_assert_uint_eq(map.reusable_count, 10); /* 6, 7 and those behind the older file's end */
    commit(&map, 1);
    ck_assert_uint_eq(map.reusable_count, 12);
    freemap_free(&map);
}
END_TEST

UNIT_MAIN("freemap", test_freemap_counts_only_what_a_run_fits_in,
          test_freemap_runs_are_found_across_words_and_never_twice,
          test_freemap_page_waits_for_the_commit_after_its_own,
          test_freemap_released_in_steps_of_bounded_size,
          test_freemap_trim_ends_behind_the_last_page_in_use,
          test_freemap_load_keeps_what_the_meta_before_reaches)
