#include "fixture.h"

/* Figures, not claims: printed for whoever looks. */
START_TEST(test_tree_many_keys_and_reused_pages)
{
    enum { COUNT = 20000 };
    uint8_t key[16] = {0};
    enter_folder();
    memset(value, 'v', 100);
    struct store *store = open_store();
    random_state = 42;
    uint64_t before_us = clock_monotonic_us();
    for (unsigned i = 0; i < COUNT; i++) {
        wire_store_u64(key, i * 0x9e3779b97f4a7c15ull);
        (void)put(store, key, sizeof(key), value, 100);
        if (i % 4000 == 0)
            checkpoint(store);
    }
    checkpoint(store);
    uint64_t put_us = clock_monotonic_us() - before_us;
    before_us = clock_monotonic_us();
    for (unsigned i = 0; i < COUNT; i++) {
        struct tree_record record;
        wire_store_u64(key, i * 0x9e3779b97f4a7c15ull);
        ck_assert_int_eq(store_get(store, (struct node_bytes){key, sizeof(key)}, &record), 0);
    }
    uint64_t get_us = clock_monotonic_us() - before_us;
    struct store_status status;
    store_fill_status(store, &status);
    uint64_t full_bytes = status.file_bytes;
    fprintf(stderr, "%u keys: %.2f us a put, %.2f us a get, %.0f file bytes a key\n", COUNT,
            (double)put_us / COUNT, (double)get_us / COUNT, (double)full_bytes / COUNT);
    for (unsigned round = 0; round < 5; round++) {
        for (unsigned i = 0; i < COUNT; i++) {
            wire_store_u64(key, i * 0x9e3779b97f4a7c15ull);
            (void)del(store, key, sizeof(key));
        }
        checkpoint(store);
        for (unsigned i = 0; i < COUNT; i++) {
            wire_store_u64(key, i * 0x9e3779b97f4a7c15ull);
            (void)put(store, key, sizeof(key), value, 100);
        }
        checkpoint(store);
    }
    store_fill_status(store, &status);
    ck_assert_uint_le(status.file_bytes, full_bytes * 5 / 2);
    store_close(store);
    check_clean();
    leave_folder();
}
END_TEST

/* Random keys fill their leaves to four fifths: full ones lean on their neighbours before they are
 * split. And records too large to be shared out still find a place. */
START_TEST(test_tree_random_keys_fill_their_leaves)
{
    enum { COUNT = 30000 };
    uint8_t key[16] = {0};
    enter_folder();
    struct store *store = open_store();
    random_state = 43;
    for (unsigned i = 0; i < COUNT; i++) {
        wire_store_u64(key, random_next());
        (void)put(store, key, sizeof(key), value, 100);
    }
    struct store_status status;
    store_fill_status(store, &status);
    double record_bytes = LEAF_RECORD_BYTES + sizeof(key) + 100 + SLOT_BYTES;
    double pages = (double)(pager_pages(store_pager(store)) - PAGE_METAS);
    ck_assert_double_ge(COUNT * record_bytes / (pages * PAGE_ROOM_BYTES), 0.75);
    for (unsigned i = 0; i < 3000; i++) {
        wire_store_u64(key, random_next());
        (void)put(store, key, 9 + random_next() % 8, value, random_next() % 2000);
    }
    checkpoint(store);
    store_close(store);
    check_clean();
    leave_folder();
}
END_TEST

UNIT_MAIN("tree", test_tree_many_keys_and_reused_pages, test_tree_random_keys_fill_their_leaves)
