/* A disk that is full: what the store says, and what goes on. */
#include "fixture.h"

#include "file.h"

#include <errno.h>

static uint64_t disk_bytes;
static struct file_layer full_layer;

static int full_allocate(int fd, uint64_t offset, uint64_t bytes)
{
    return offset + bytes > disk_bytes ? -ENOSPC : file_layer_system.allocate(fd, offset, bytes);
}

static void set_disk(uint64_t bytes)
{
    disk_bytes = bytes;
    full_layer = file_layer_system;
    full_layer.allocate = full_allocate;
    file_layer = &full_layer;
}

static uint64_t file_bytes(void)
{
    struct stat status;
    ck_assert_int_eq(stat(TREE_FILE, &status), 0);
    return (uint64_t)status.st_size;
}

static uint16_t health(struct store *store)
{
    struct store_status status;
    store_fill_status(store, &status);
    return status.health;
}

/* In key order: a checkpoint's pages are then fewer than the headroom. */
static void put_at_end(struct store *store, uint32_t i)
{
    uint32_t key = __builtin_bswap32(i);
    (void)put(store, &key, sizeof(key), value, 200);
}

/* Room for nothing but what the file has: it is said before a checkpoint fails, deletes and their
 * checkpoints go on within the headroom, and once there is room all is well by itself. */
START_TEST(test_space_headroom_carries_deletes_through_a_full_disk)
{
    enum { KEYS = 20000 };
    enter_folder();
    set_disk(UINT64_MAX);
    struct store *store = open_store();
    memset(value, 'v', sizeof(value));
    for (unsigned i = 0; i < KEYS; i++)
        put_at_end(store, i);
    checkpoint(store);
    ck_assert_int_eq(health(store), PROTO_STATUS_OK);
    set_disk(file_bytes());
    unsigned last = KEYS;
    for (; health(store) == PROTO_STATUS_OK && last < 2 * KEYS; last++) {
        put_at_end(store, last);
        if (last % 200 == 0 || store_wants_checkpoint(store))
            checkpoint(store); /* which asserts that it was written */
    }
    ck_assert_int_eq(health(store), PROTO_STATUS_NO_SPACE);
    ck_assert_uint_gt(last, KEYS);
    for (unsigned i = 0; i < last; i++) {
        uint32_t key = __builtin_bswap32(i);
        (void)del(store, &key, sizeof(key));
        if (store_wants_checkpoint(store))
            checkpoint(store);
    }
    checkpoint(store);
    ck_assert_uint_eq(store_durable_index(store), store_applied_index(store));
    ck_assert_uint_le(file_bytes(), disk_bytes);
    set_disk(UINT64_MAX);
    (void)put(store, "k", 1, "v", 1);
    checkpoint(store);
    ck_assert_int_eq(health(store), PROTO_STATUS_OK);
    ck_assert(!pager_is_short_of_space(store_pager(store)));
    store_close(store);
    check_clean();
    leave_folder();
}
END_TEST

/* Not even the pages of one checkpoint fit: it can be tried again, and loses nothing. */
START_TEST(test_space_checkpoint_that_does_not_fit_is_written_later)
{
    enter_folder();
    set_disk(UINT64_MAX);
    struct store *store = open_store();
    (void)put(store, "k", 1, "v", 1);
    checkpoint(store);
    set_disk(file_bytes());
    memset(value, 'v', sizeof(value));
    for (unsigned i = 0; i < 3000; i++)
        (void)put(store, &i, sizeof(i), value, 3000);
    ck_assert(store_checkpoint_begin(store));
    ck_assert_int_eq(store_checkpoint_write(store), -ENOSPC);
    ck_assert_int_eq(store_checkpoint_write(store), -ENOSPC);
    check_clean(); /* the file is that of the first */
    set_disk(UINT64_MAX);
    ck_assert_int_eq(store_checkpoint_write(store), 0);
    store_checkpoint_end(store);
    ck_assert_uint_eq(store_durable_index(store), 3001);
    store_close(store);
    check_clean();
    leave_folder();
}
END_TEST

/* While a commit cuts the file, no room is counted on that it may take away: what was let in
 * fits what is left, though the disk has nothing more. */
START_TEST(test_space_room_that_a_commit_cuts_off_is_not_given)
{
    enum { LONG_BYTES = 80 << 20, PUTS_MAX = 20000 };
    enter_folder();
    set_disk(UINT64_MAX);
    struct store *store = open_store();
    (void)put(store, "k", 1, "v", 1);
    checkpoint(store);
    ck_assert_int_eq(store_make_room(store, LONG_BYTES, 1), 0);
    ck_assert_uint_ge(file_bytes(), LONG_BYTES);
    (void)put(store, "k", 1, "w", 1);
    ck_assert(store_checkpoint_begin(store));
    unsigned puts = 0;
    memset(value, 'v', sizeof(value));
    while (puts < PUTS_MAX && store_make_room(store, 3000, 1) == 0) {
        (void)put(store, &puts, sizeof(puts), value, 3000);
        puts++;
    }
    ck_assert_int_eq(store_make_room(store, 3000, 1), -EBUSY);
    ck_assert_int_eq(store_checkpoint_write(store), 0);
    store_checkpoint_end(store);
    ck_assert_uint_lt(file_bytes(), LONG_BYTES);
    set_disk(file_bytes());
    ck_assert(store_checkpoint_begin(store));
    ck_assert_int_eq(store_checkpoint_write(store), 0);
    store_checkpoint_end(store);
    ck_assert_uint_eq(store_durable_index(store), 2 + puts);
    store_close(store);
    check_clean();
    leave_folder();
}
END_TEST

UNIT_MAIN("space", test_space_room_that_a_commit_cuts_off_is_not_given,
          test_space_headroom_carries_deletes_through_a_full_disk,
          test_space_checkpoint_that_does_not_fit_is_written_later)
