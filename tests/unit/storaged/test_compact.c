#include "fixture.h"

static double file_pages(void)
{
    struct stat status;
    ck_assert_int_eq(stat(TREE_FILE, &status), 0);
    return (double)status.st_size / PAGE_BYTES;
}

/* What storaged does when nothing comes in: commits and steps as long as they have a use. */
static void settle(struct store *store)
{
    unsigned commits = 0;
    while (store_has_changes(store)) {
        while (store_compact_some(store, 3))
            ;
        checkpoint(store);
        ck_assert_uint_lt(++commits, 40); /* and then there is rest */
    }
}

static void fill(struct store *store, unsigned keys)
{
    memset(value, 'v', sizeof(value));
    for (unsigned i = 0; i < keys; i++) {
        uint32_t key = i * 2654435761u;
        (void)put(store, &key, sizeof(key), value, i % 35 == 0 ? 20000 : 200);
        if (i % 3000 == 0)
            checkpoint(store);
    }
}

/* Every tenth key stays, all over the file, and with it some overflow runs. */
START_TEST(test_compact_file_shrinks_after_mass_deletes)
{
    enum { KEYS = 20000 };
    struct store_status before, after;
    enter_folder();
    struct store *store = open_store();
    fill(store, KEYS);
    settle(store);
    double full = file_pages();
    for (unsigned i = 0; i < KEYS; i++) {
        uint32_t key = i * 2654435761u;
        if (i % 10)
            (void)del(store, &key, sizeof(key));
    }
    store_fill_status(store, &before);
    settle(store);
    check_clean();
    store_fill_status(store, &after);
    ck_assert_mem_eq(before.state_hash, after.state_hash, 16);
    ck_assert_msg(file_pages() < full / 2, "%.0f of %.0f pages", file_pages(), full);
    for (unsigned i = 0; i < KEYS; i++) {
        uint32_t key = i * 2654435761u;
        struct tree_record record;
        int code = store_get(store, (struct node_bytes){(uint8_t *)&key, sizeof(key)}, &record);
        ck_assert_int_eq(code, i % 10 ? STORE_NOT_FOUND : 0);
        if (!code)
            ck_assert_uint_eq(record.value.length, i % 35 == 0 ? 20000 : 200);
    }
    store_close(store);
    check_clean();
    leave_folder();
}
END_TEST

/* A large file's round takes more commits than may follow the last entry otherwise. */
START_TEST(test_compact_round_of_many_commits_is_brought_to_its_end)
{
    enum { KEYS = 20000 };
    enter_folder();
    struct store *store = open_store();
    fill(store, KEYS);
    settle(store);
    double full = file_pages();
    for (unsigned i = 0; i < KEYS; i++) {
        uint32_t key = i * 2654435761u;
        if (i % 10)
            (void)del(store, &key, sizeof(key));
    }
    unsigned commits = 0;
    for (; store_has_changes(store); commits++) {
        (void)store_compact_some(store, 1);
        checkpoint(store);
        ck_assert_uint_lt(commits, 2000);
    }
    ck_assert_uint_gt(commits, 40);
    check_clean();
    ck_assert_msg(file_pages() < full / 2, "%.0f of %.0f pages", file_pages(), full);
    store_close(store);
    leave_folder();
}
END_TEST

/* With a view open its pages stay where they are; once it is closed they go too. */
START_TEST(test_compact_writes_and_views_go_on_meanwhile)
{
    struct view *view;
    enter_folder();
    struct store *store = open_store();
    fill(store, 10000);
    settle(store);
    double full = file_pages();
    ck_assert_int_eq(store_view(store, 1000, &view), 0);
    for (unsigned i = 0; i < 10000; i++) {
        uint32_t key = i * 2654435761u;
        (void)del(store, &key, sizeof(key));
        if (i % 7 == 0)
            (void)put(store, &i, sizeof(i), "new", 3);
        if (i % 20 == 0)
            (void)store_compact_some(store, 2);
        if (i % 1000 == 0)
            checkpoint(store);
    }
    settle(store);
    check_clean();
    ck_assert(!view_is_expired(view));
    view_close(view);
    for (unsigned i = 0; i < 60; i++) {
        (void)put(store, "last", 4, &i, sizeof(i));
        while (store_compact_some(store, 64))
            ;
        checkpoint(store);
    }
    check_clean();
    ck_assert_msg(file_pages() < full / 4, "%.0f of %.0f pages", file_pages(), full);
    store_close(store);
    leave_folder();
}
END_TEST

/* Rounds that bring nothing are tried ever more seldom; but when writes cease, once more. */
START_TEST(test_compact_fruitless_rounds_do_not_put_off_the_rest_for_long)
{
    struct view *view;
    enter_folder();
    struct store *store = open_store();
    fill(store, 10000);
    settle(store);
    double full = file_pages();
    ck_assert_int_eq(store_view(store, 1000, &view), 0);
    for (unsigned i = 0; i < 10000; i++) {
        uint32_t key = i * 2654435761u;
        (void)del(store, &key, sizeof(key));
    }
    for (unsigned i = 0; i < 200; i++) { /* the view keeps the file's end */
        (void)put(store, "busy", 4, &i, sizeof(i));
        while (store_compact_some(store, 64))
            ;
        checkpoint(store);
    }
    ck_assert_msg(file_pages() > full / 2, "%.0f of %.0f pages", file_pages(), full);
    view_close(view);
    (void)put(store, "last", 4, "", 0);
    settle(store);
    check_clean();
    ck_assert_msg(file_pages() < full / 4, "%.0f of %.0f pages", file_pages(), full);
    store_close(store);
    leave_folder();
}
END_TEST

UNIT_MAIN("compact", test_compact_file_shrinks_after_mass_deletes,
          test_compact_round_of_many_commits_is_brought_to_its_end,
          test_compact_writes_and_views_go_on_meanwhile,
          test_compact_fruitless_rounds_do_not_put_off_the_rest_for_long)
