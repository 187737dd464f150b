#include "stand.h"

/* A state as it leaves: parts of a read view, over the bus. */

static struct stand stand;

static void stand_up(unsigned records)
{
    enter_folder();
    stand_open(&stand);
    if (records)
        fill_store(stand.storaged.store, records, 0x5eed);
}

static void stand_down(void)
{
    stand_close(&stand);
    check_clean();
    leave_folder();
}

static unsigned records_of(const struct buffer *part)
{
    return wire_load_u32(part->bytes + 4);
}

START_TEST(test_snapshots_parts_hold_each_record_once_in_bounded_parts)
{
    stand_up(30000);
    struct capture *capture = capture_new(&stand);
    ck_assert_uint_gt(capture->end.keys, 30000);
    capture_check(capture);
    for (unsigned i = 0; i < capture->count; i++) {
        ck_assert_uint_le(records_of(&capture->parts[i]), SNAPSHOTS_RECORDS_MAX);
        ck_assert_uint_le(capture->parts[i].length, SNAPSHOTS_PART_BYTES + (1 << 20) + 2048);
    }
    ck_assert_uint_eq(views_open(store_pager(stand.storaged.store)), 0);
    capture_free(capture);
    stand_down();
}
END_TEST

START_TEST(test_snapshots_empty_store_is_one_empty_part)
{
    stand_up(0);
    struct capture *capture = capture_new(&stand);
    ck_assert_uint_eq(capture->count, 1);
    ck_assert_uint_eq(records_of(&capture->parts[0]), 0);
    ck_assert_uint_eq(capture->end.index, 0);
    capture_check(capture);
    capture_free(capture);
    stand_down();
}
END_TEST

START_TEST(test_snapshots_largest_value_fits_a_part)
{
    uint8_t *largest = memory_new(LIMIT_VALUE_BYTES_CAP);
    fill_value(largest, LIMIT_VALUE_BYTES_CAP, 1);
    stand_up(0);
    for (unsigned i = 0; i < 3; i++) /* behind almost a whole part of small ones, too */
        (void)put(stand.storaged.store, &i, 1, largest, LIMIT_VALUE_BYTES_CAP);
    for (unsigned i = 0; i < 1000; i++)
        (void)put(stand.storaged.store, &i, 4, largest, 1040);
    struct capture *capture = capture_new(&stand);
    capture_check(capture);
    capture_free(capture);
    free(largest);
    stand_down();
}
END_TEST

START_TEST(test_snapshots_last_part_may_be_asked_for_again_no_other)
{
    struct buffer first = {0}, again = {0};
    bool is_last;
    stand_up(20000);
    struct snapshot_opened opened = stand_open_snapshot(&stand, 60000);
    struct capture *capture = memory_new_zeroed(1, sizeof(*capture));
    capture_head(&stand, &opened, capture);
    ck_assert_uint_eq(stand_read_part(&stand, opened.view, UINT32_MAX, &again, &is_last),
                      PROTO_STATUS_NOT_FOUND); /* the one before the first */
    for (unsigned part = 0; part < 3; part++) {
        ck_assert_uint_eq(stand_read_part(&stand, opened.view, part, &first, &is_last), 0);
        for (unsigned i = 0; i < 2; i++) {
            ck_assert_uint_eq(stand_read_part(&stand, opened.view, part, &again, &is_last), 0);
            ck_assert_uint_eq(again.length, first.length);
            ck_assert_mem_eq(again.bytes, first.bytes, first.length);
            ck_assert(!is_last);
        }
        buffer_append(&capture->parts[part], first.bytes, first.length);
    }
    ck_assert_uint_eq(stand_read_part(&stand, opened.view, 1, &again, &is_last),
                      PROTO_STATUS_NOT_FOUND);
    ck_assert_uint_eq(stand_read_part(&stand, opened.view, 4, &again, &is_last),
                      PROTO_STATUS_NOT_FOUND);
    ck_assert_uint_eq(records_of(&again), 0);
    capture_parts(&stand, opened.view, 3, capture);
    capture_check(capture);
    unsigned last = capture->count - 1;
    ck_assert_uint_eq(stand_read_part(&stand, opened.view, last, &again, &is_last), 0);
    ck_assert(is_last);
    ck_assert_uint_eq(again.length, capture->parts[last].length);
    ck_assert_mem_eq(again.bytes, capture->parts[last].bytes, again.length);
    ck_assert_uint_eq(stand_read_part(&stand, opened.view, last + 1, &again, &is_last),
                      PROTO_STATUS_NOT_FOUND);
    stand_close_snapshot(&stand, opened.view);
    capture_free(capture);
    buffer_free(&first);
    buffer_free(&again);
    stand_down();
}
END_TEST

/* Everything is written over, with checkpoints between, while the view is read. */
START_TEST(test_snapshots_stay_those_of_their_index_while_writes_go_on)
{
    stand_up(20000);
    struct store *store = stand.storaged.store;
    struct snapshot_opened opened = stand_open_snapshot(&stand, 60000);
    struct capture *capture = memory_new_zeroed(1, sizeof(*capture));
    capture_head(&stand, &opened, capture);
    bool is_last = false;
    for (unsigned part = 0; !is_last; part++) {
        ck_assert_uint_eq(
            stand_read_part(&stand, opened.view, part, &capture->parts[part], &is_last), 0);
        capture->count = part + 1;
        fill_store(store, 20000, 0x5eed); /* the same keys */
        (void)stand_put(&stand, "k", 1, &part, sizeof(part));
        checkpoint(store);
    }
    capture_check(capture);
    ck_assert_uint_gt(store_applied_index(store), capture->end.index + 20000);
    stand_close_snapshot(&stand, opened.view);
    capture_free(capture);
    stand_down();
}
END_TEST

START_TEST(test_snapshots_over_their_time_say_so)
{
    struct buffer part = {0};
    bool is_last;
    stand_up(20000);
    struct snapshot_opened opened = stand_open_snapshot(&stand, 50);
    ck_assert_uint_eq(stand_read_part(&stand, opened.view, 0, &part, &is_last), 0);
    struct pager *pager = store_pager(stand.storaged.store);
    STAND_UNTIL(&stand, views_open(pager) == 0);
    ck_assert_uint_eq(stand_read_part(&stand, opened.view, 1, &part, &is_last),
                      PROTO_STATUS_TIMEOUT);
    ck_assert_uint_eq(records_of(&part), 0);
    stand_close_snapshot(&stand, opened.view);
    ck_assert_uint_eq(stand_read_part(&stand, opened.view, 1, &part, &is_last),
                      PROTO_STATUS_NOT_FOUND);
    buffer_free(&part);
    stand_down();
}
END_TEST

START_TEST(test_snapshots_oldest_gives_way_and_a_new_edge_ends_all)
{
    struct buffer part = {0};
    bool is_last;
    uint64_t views[SNAPSHOTS_MAX + 1];
    stand_up(10);
    struct pager *pager = store_pager(stand.storaged.store);
    for (unsigned i = 0; i <= SNAPSHOTS_MAX; i++)
        views[i] = stand_open_snapshot(&stand, 60000).view;
    ck_assert_uint_eq(views_open(pager), SNAPSHOTS_MAX);
    ck_assert_uint_eq(stand_read_part(&stand, views[0], 0, &part, &is_last),
                      PROTO_STATUS_NOT_FOUND);
    ck_assert_uint_eq(stand_read_part(&stand, views[1], 0, &part, &is_last), PROTO_STATUS_OK);
    struct bus_client *other = stand_dial(&stand, PROTO_ROLE_RAFTD);
    ck_assert_uint_eq(views_open(pager), 0);
    ck_assert_uint_eq(stand_read_part(&stand, views[2], 0, &part, &is_last),
                      PROTO_STATUS_NOT_FOUND);
    bus_client_free(other);
    buffer_free(&part);
    stand_down();
}
END_TEST

START_TEST(test_snapshots_damaged_page_is_said_and_nothing_is_given)
{
    struct buffer part = {0};
    bool is_last;
    size_t length;
    enter_folder();
    struct store *store = open_store();
    fill_store(store, 2000, 1);
    checkpoint(store);
    store_close(store);
    uint8_t *bytes = read_file(&length);
    for (size_t at = 2 * 4096 + 100; at < length; at += 4096)
        if (page_type(bytes + at - 100) == PAGE_LEAF)
            bytes[at] ^= 1;
    write_file(bytes, length);
    free(bytes);
    stand_open(&stand);
    struct snapshot_opened opened = stand_open_snapshot(&stand, 60000);
    ck_assert_uint_eq(stand_read_part(&stand, opened.view, 0, &part, &is_last),
                      PROTO_STATUS_DAMAGED);
    ck_assert_uint_eq(records_of(&part), 0);
    ck_assert(!is_last);
    buffer_free(&part);
    stand_close(&stand);
    leave_folder();
}
END_TEST

UNIT_MAIN("snapshots", test_snapshots_parts_hold_each_record_once_in_bounded_parts,
          test_snapshots_empty_store_is_one_empty_part, test_snapshots_largest_value_fits_a_part,
          test_snapshots_last_part_may_be_asked_for_again_no_other,
          test_snapshots_stay_those_of_their_index_while_writes_go_on,
          test_snapshots_over_their_time_say_so,
          test_snapshots_oldest_gives_way_and_a_new_edge_ends_all,
          test_snapshots_damaged_page_is_said_and_nothing_is_given)
