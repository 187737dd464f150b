#include "fixture.h"

#include "cursor.h"

#include <errno.h>

/* ---- a model: what each key holds, and what held when a view was taken ---- */

#define KEYS 400u
#define VIEWS 5u

struct image {
    uint64_t revision[KEYS]; /* 0: absent */
    size_t value_bytes[KEYS];
};

struct watcher {
    struct view *view;
    struct image image;
};

static struct image now;
static struct watcher watchers[VIEWS];

static struct node_bytes key_of(unsigned i, uint8_t key[64])
{
    size_t length = i % 7 == 0 ? 60 : 8; /* in order: the number leads */
    memset(key, 'k', 64);
    key[0] = (uint8_t)(i >> 8);
    key[1] = (uint8_t)i;
    return (struct node_bytes){key, length};
}

static void change(struct store *store)
{
    uint8_t key[64];
    unsigned i = (unsigned)(random_next() % KEYS);
    struct node_bytes bytes = key_of(i, key);
    if (random_next() % 3 == 0) {
        (void)del(store, bytes.bytes, bytes.length);
        now.revision[i] = 0;
        return;
    }
    now.value_bytes[i] = random_next() % 20 == 0 ? 9000 : random_next() % 500;
    uint64_t revision = store_applied_index(store) + 1;
    fill_value(value, now.value_bytes[i], (uint32_t)revision);
    (void)put(store, bytes.bytes, bytes.length, value, now.value_bytes[i]);
    now.revision[i] = revision;
}

static void assert_stands_on(struct cursor *cursor, const struct image *image, unsigned i)
{
    uint8_t key[64];
    struct tree_record record;
    struct node_bytes bytes = key_of(i, key);
    ck_assert_int_eq(cursor_load(cursor, &record), 0);
    ck_assert_int_eq(node_compare(record.key, bytes), 0);
    ck_assert_uint_eq(record.revision, image->revision[i]);
    ck_assert_uint_eq(record.value.length, image->value_bytes[i]);
    fill_value(value, record.value.length, (uint32_t)record.revision);
    if (record.value.length)
        ck_assert_mem_eq(record.value.bytes, value, record.value.length);
}

/* The nearest present key from `i` on, that way; KEYS if there is none. */
static unsigned nearest(const struct image *image, int i, int step)
{
    while (i >= 0 && i < (int)KEYS && !image->revision[i])
        i += step;
    return i < 0 || i >= (int)KEYS ? KEYS : (unsigned)i;
}

static void assert_placed(struct cursor *cursor, int code, const struct image *image, unsigned i)
{
    ck_assert_int_eq(code, i == KEYS ? CURSOR_END : 0);
    if (!code)
        assert_stands_on(cursor, image, i);
}

static void compare_seeks(struct cursor *cursor, const struct image *image)
{
    for (unsigned n = 0; n < 20; n++) {
        uint8_t key[64];
        int i = (int)(random_next() % KEYS);
        struct node_bytes bytes = key_of((unsigned)i, key);
        assert_placed(cursor, cursor_seek(cursor, bytes, CURSOR_AT_OR_AFTER), image,
                      nearest(image, i, 1));
        assert_placed(cursor, cursor_seek(cursor, bytes, CURSOR_AFTER), image,
                      nearest(image, i + 1, 1));
        assert_placed(cursor, cursor_seek(cursor, bytes, CURSOR_AT_OR_BEFORE), image,
                      nearest(image, i, -1));
        assert_placed(cursor, cursor_seek(cursor, bytes, CURSOR_BEFORE), image,
                      nearest(image, i - 1, -1));
    }
}

static void compare_counts(struct cursor *cursor, const struct image *image)
{
    uint8_t from_key[64], until_key[64];
    unsigned from = (unsigned)(random_next() % KEYS), until = (unsigned)(random_next() % KEYS);
    uint64_t expected = 0, count = 0;
    for (unsigned i = from; i < until; i++)
        expected += image->revision[i] != 0;
    int code = cursor_seek(cursor, key_of(from, from_key), CURSOR_AT_OR_AFTER);
    while (!code)
        code = cursor_count(cursor, key_of(until, until_key), 1, &count);
    ck_assert_int_eq(code, CURSOR_END);
    ck_assert_uint_eq(count, expected);
}

/* All of the view, both ways. */
static void compare(const struct watcher *watcher)
{
    const struct image *image = &watcher->image;
    struct cursor cursor = cursor_of(watcher->view);
    uint64_t keys = 0;
    int code = cursor_first(&cursor);
    for (unsigned i = nearest(image, 0, 1); i < KEYS; i = nearest(image, (int)i + 1, 1), keys++) {
        assert_placed(&cursor, code, image, i);
        code = cursor_next(&cursor);
    }
    ck_assert_int_eq(code, CURSOR_END);
    ck_assert_uint_eq(view_state(watcher->view)->keys, keys);
    code = cursor_last(&cursor);
    for (unsigned i = nearest(image, KEYS - 1, -1); i < KEYS; i = nearest(image, (int)i - 1, -1)) {
        assert_placed(&cursor, code, image, i);
        code = cursor_previous(&cursor);
    }
    ck_assert_int_eq(code, CURSOR_END);
    compare_seeks(&cursor, image);
    compare_counts(&cursor, image);
}

static void watcher_turn(struct store *store, struct watcher *watcher)
{
    if (watcher->view) {
        compare(watcher);
        if (random_next() % 2)
            return;
        view_close(watcher->view);
        watcher->view = NULL;
    } else {
        ck_assert_int_eq(store_view(store, 1000, &watcher->view), 0);
        watcher->image = now;
    }
}

/* Everything is committed and no view open: what is not reached is to be had again. */
static void assert_nothing_held(struct store *store)
{
    for (unsigned i = 0; i < 3; i++) {
        (void)put(store, "last", 4, "x", 1);
        checkpoint(store);
    }
    const struct freemap *map = pager_freemap(store_pager(store));
    ck_assert_uint_eq(views_held_pages(store_pager(store)), 0);
    uint64_t waiting = 0;
    for (size_t i = 0; i < map->pending_count; i++)
        waiting += map->pending[i].pages;
    ck_assert_uint_eq(map->unused_count, map->reusable_count + waiting);
    ck_assert_uint_le(waiting, 20); /* of the last put's path and free map */
}

START_TEST(test_view_shows_its_moment_whatever_is_written)
{
    random_state = 77;
    enter_folder();
    struct store *store = open_store();
    for (unsigned round = 0; round < 150; round++) {
        unsigned steps = (unsigned)(random_next() % 60);
        if (random_next() % 3 == 0)
            (void)store_checkpoint_begin(store);
        for (unsigned i = 0; i < steps; i++)
            change(store);
        watcher_turn(store, &watchers[random_next() % VIEWS]);
        if (store_checkpoint_is_open(store)) {
            ck_assert_int_eq(store_checkpoint_write(store), 0);
            (void)store_checkpoint_end_some(store, random_next() % 100);
            if (store_checkpoint_is_open(store)) {
                change(store);
                store_checkpoint_end(store);
            }
        }
        watcher_turn(store, &watchers[random_next() % VIEWS]);
        if (round % 10 == 0) {
            checkpoint(store);
            check_clean();
        }
    }
    for (unsigned i = 0; i < VIEWS; i++)
        view_close(watchers[i].view);
    assert_nothing_held(store);
    store_close(store);
    check_clean();
    leave_folder();
}
END_TEST

START_TEST(test_view_past_its_deadline_is_refused)
{
    struct view *view, *longer;
    struct tree_record record;
    enter_folder();
    struct store *store = open_store();
    (void)put(store, "a", 1, "one", 3);
    ck_assert_int_eq(store_view(store, 100, &view), 0);
    ck_assert_int_eq(store_view(store, 200, &longer), 0);
    ck_assert_uint_eq(views_deadline_ms(store_pager(store)), 100);
    struct cursor cursor = cursor_of(view), other = cursor_of(longer);
    views_expire(store_pager(store), 100);
    ck_assert_int_eq(cursor_first(&cursor), 0);
    views_expire(store_pager(store), 101);
    ck_assert(view_is_expired(view));
    ck_assert_int_eq(cursor_load(&cursor, &record), -ESTALE);
    ck_assert_int_eq(cursor_next(&cursor), -ESTALE);
    ck_assert_int_eq(cursor_first(&cursor), -ESTALE);
    ck_assert_int_eq(cursor_first(&other), 0);
    view_close(view);
    view_close(longer);
    store_close(store);
    leave_folder();
}
END_TEST

/* The writer goes on; the older view is given up, then the newer. */
START_TEST(test_view_that_holds_too_much_is_expired_oldest_first)
{
    enum { VALUES = 80, VALUE_BYTES = 1 << 20 };
    struct view *first, *second;
    uint8_t *large = memory_new_zeroed(1, VALUE_BYTES);
    enter_folder();
    struct store *store = open_store();
    for (unsigned i = 0; i < VALUES; i++)
        (void)put(store, &i, sizeof(i), large, VALUE_BYTES);
    checkpoint(store);
    ck_assert_int_eq(store_view(store, 1000, &first), 0);
    for (unsigned i = 0; i < VALUES / 2; i++)
        (void)put(store, &i, sizeof(i), large, VALUE_BYTES);
    ck_assert_int_eq(store_view(store, 1000, &second), 0);
    ck_assert(!view_is_expired(first) && !view_is_expired(second));
    for (unsigned i = 0; i < VALUES && !view_is_expired(first); i++)
        (void)put(store, &i, sizeof(i), large, VALUE_BYTES);
    ck_assert(view_is_expired(first) && !view_is_expired(second));
    ck_assert_uint_le(views_held_pages(store_pager(store)), LIMIT_VIEWS_HELD_PAGES_MIN);
    view_close(first);
    view_close(second);
    checkpoint(store);
    assert_nothing_held(store);
    store_close(store);
    check_clean();
    free(large);
    leave_folder();
}
END_TEST

START_TEST(test_view_count_is_bounded)
{
    struct view *views[LIMIT_VIEWS_MAX], *more;
    enter_folder();
    struct store *store = open_store();
    for (unsigned i = 0; i < LIMIT_VIEWS_MAX; i++)
        ck_assert_int_eq(store_view(store, 1, &views[i]), 0);
    ck_assert_int_eq(store_view(store, 1, &more), -EBUSY);
    for (unsigned i = 0; i < LIMIT_VIEWS_MAX; i++)
        view_close(views[i]);
    ck_assert_int_eq(store_view(store, 1, &more), 0);
    view_close(more);
    store_close(store);
    leave_folder();
}
END_TEST

UNIT_MAIN("view", test_view_shows_its_moment_whatever_is_written,
          test_view_past_its_deadline_is_refused,
          test_view_that_holds_too_much_is_expired_oldest_first, test_view_count_is_bounded)
