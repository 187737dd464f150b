#include "stand.h"

#include <dirent.h>

/* A state as it comes in: the file beside, and the store exchanged under the running rooms. */

static struct stand stand;

/* A snapshot of a store of its own, which is gone then. */
static struct capture *make_capture(unsigned records, uint64_t seed)
{
    enter_folder();
    stand_open(&stand);
    fill_store(stand.storaged.store, records, seed);
    struct capture *capture = capture_new(&stand);
    stand_close(&stand);
    leave_folder();
    return capture;
}

/* A store with `records` of its own, whose checkpoint is on the disk. */
static void stand_up(unsigned records)
{
    enter_folder();
    stand_open(&stand);
    if (records)
        fill_store(stand.storaged.store, records, 77);
    checkpoint(stand.storaged.store);
}

static void stand_down(void)
{
    check_no_litter();
    stand_close(&stand);
    check_clean();
    check_no_litter();
    leave_folder();
}

static unsigned descriptors(void)
{
    unsigned count = 0;
    DIR *folder_of = opendir("/proc/self/fd");
    while (readdir(folder_of))
        count++;
    closedir(folder_of);
    return count;
}

static unsigned opened_views(void)
{
    return views_open(store_pager(stand.storaged.store));
}

START_TEST(test_install_of_100000_records_is_the_same_state_and_goes_on)
{
    struct capture *capture = make_capture(100000, 1);
    ck_assert_uint_gt(capture->end.keys, 90000);
    stand_up(3000);
    stand_install(&stand, capture);
    stand_check_is(&stand, capture);
    check_no_litter();
    struct applied_head head = stand_put(&stand, "k", 1, "v", 1);
    ck_assert_uint_eq(head.status, PROTO_STATUS_OK);
    ck_assert_uint_eq(head.applied_index, capture->end.index + 1);
    struct capture *again = capture_new(&stand);
    capture_check(again);
    ck_assert_uint_eq(again->end.keys, capture->end.keys + 1);
    capture_free(again);
    stand_close(&stand);
    check_clean();
    stand_open(&stand); /* what was written behind it lasts, too */
    ck_assert_uint_eq(stand_status(&stand).applied_index, capture->end.index + 1);
    stand_down();
    capture_free(capture);
}
END_TEST

/* Two nodes, one by its entries and one by a snapshot and the entries behind it. */
START_TEST(test_install_gives_equal_hashes_at_equal_index_ever_after)
{
    uint8_t hash[16], mark[16];
    struct capture *capture = make_capture(3000, 2);
    for (unsigned node = 0; node < 2; node++) {
        enter_folder();
        stand_open(&stand);
        if (node == 0)
            fill_store(stand.storaged.store, 3000, 2);
        else
            stand_install(&stand, capture);
        struct applied_head head = {0};
        for (unsigned i = 0; i < 600; i++)
            head = stand_put(&stand, &i, 1 + i % 3, value, i);
        if (node == 0) {
            memcpy(hash, head.state_hash, sizeof(hash));
            memcpy(mark, head.mark_hash, sizeof(mark));
        }
        ck_assert_uint_eq(head.applied_index, capture->end.index + 600);
        ck_assert_uint_eq(head.mark_index,
                          head.applied_index / STORE_MARK_ENTRIES * STORE_MARK_ENTRIES);
        ck_assert_mem_eq(head.state_hash, hash, sizeof(hash));
        ck_assert_mem_eq(head.mark_hash, mark, sizeof(mark));
        stand_down();
    }
    capture_free(capture);
}
END_TEST

START_TEST(test_install_again_and_again_leaves_nothing_behind)
{
    struct capture *small = make_capture(100, 3), *large = make_capture(20000, 4);
    stand_up(10);
    unsigned before = descriptors();
    for (unsigned i = 0; i < 5; i++) {
        stand_install(&stand, i % 2 ? large : small);
        stand_check_is(&stand, i % 2 ? large : small);
    }
    STAND_UNTIL(&stand, descriptors() == before); /* the last old store is closed by the worker */
    stand_down();
    capture_free(small);
    capture_free(large);
}
END_TEST

START_TEST(test_install_of_nothing_at_index_0_is_an_empty_store)
{
    struct install_end end = {0};
    struct store_status status;
    stand_up(500);
    ASSERT_OK(stand_begin(&stand, 0, 0));
    ASSERT_OK(stand_end(&stand, &end));
    status = stand_status(&stand);
    ck_assert_uint_eq(status.applied_index, 0);
    ck_assert_uint_eq(status.keys, 0);
    ck_assert_mem_eq(status.state_hash, end.state_hash, 16);
    ck_assert_uint_eq(store_configuration(stand.storaged.store).length, 0);
    ck_assert_uint_eq(stand_put(&stand, "k", 1, "v", 1).applied_index, 1);
    stand_down();
}
END_TEST

static void assert_refused(struct install_reply reply, const char *part)
{
    ck_assert_msg(reply.status != PROTO_STATUS_OK, "it was taken, want: %s", part);
    ck_assert_msg(strstr(reply.reason, part) != NULL, "'%s' is not in: %s", part, reply.reason);
    STAND_UNTIL(&stand, access(INSTALL_LITTER, F_OK)); /* what was begun is given up */
}

START_TEST(test_install_damaged_part_is_refused_and_a_new_begin_heals)
{
    struct capture *capture = make_capture(20000, 5);
    stand_up(100);
    struct store_status before = stand_status(&stand), after;
    for (unsigned i = 0; i < 8; i++) {
        struct buffer *part = &capture->parts[1];
        size_t at = i < 4 ? i : random_next() % part->length; /* the CRC itself, too */
        ASSERT_OK(stand_begin(&stand, capture->end.index, capture->end.term));
        ASSERT_OK(stand_give_part(&stand, 0, &capture->parts[0]));
        part->bytes[at] ^= 4;
        assert_refused(stand_give_part(&stand, 1, part), "damaged");
        part->bytes[at] ^= 4;
        assert_refused(stand_give_part(&stand, 1, part), "out of order, or too late");
        assert_refused(stand_end(&stand, &capture->end), "not begun, or given up");
    }
    after = stand_status(&stand);
    ck_assert_mem_eq(&after, &before, sizeof(after));
    stand_install(&stand, capture);
    stand_check_is(&stand, capture);
    stand_down();
    capture_free(capture);
}
END_TEST

/* Records that no storaged would send, with a right checksum. */
static void make_part(struct buffer *into, const char *first, const char *second)
{
    snapshot_part_begin(into);
    snapshot_part_add(into, 1, first, strlen(first), "v", 1);
    snapshot_part_add(into, 2, second, strlen(second), "v", 1);
    snapshot_part_finish(into, PROTO_STATUS_OK, true);
    memmove(into->bytes, into->bytes + 3, into->length - 3); /* the head before the CRC */
    into->length -= 3;
}

START_TEST(test_install_out_of_order_is_refused)
{
    struct capture *capture = make_capture(20000, 6);
    struct buffer part = {0};
    struct install_end end = capture->end;
    ck_assert_uint_gt(capture->count, 3);
    stand_up(100);
    assert_refused(stand_give_part(&stand, 0, &capture->parts[0]), "out of order, or too late");
    assert_refused(stand_end(&stand, &end), "not begun");
    ASSERT_OK(stand_begin(&stand, end.index, end.term));
    assert_refused(stand_give_part(&stand, 1, &capture->parts[1]), "out of order");
    ASSERT_OK(stand_begin(&stand, end.index, end.term));
    ASSERT_OK(stand_give_part(&stand, 0, &capture->parts[0]));
    assert_refused(stand_give_part(&stand, 0, &capture->parts[0]), "out of order"); /* repeated */
    ASSERT_OK(stand_begin(&stand, end.index, end.term));
    ASSERT_OK(stand_give_part(&stand, 0, &capture->parts[1])); /* another's number */
    assert_refused(stand_give_part(&stand, 1, &capture->parts[0]), "keys are out of order");
    ASSERT_OK(stand_begin(&stand, end.index, end.term));
    make_part(&part, "b", "a");
    assert_refused(stand_give_part(&stand, 0, &part), "keys are out of order");
    ASSERT_OK(stand_begin(&stand, end.index, end.term));
    make_part(&part, "a", "a");
    assert_refused(stand_give_part(&stand, 0, &part), "keys are out of order");
    ASSERT_OK(stand_begin(&stand, end.index, end.term));
    make_part(&part, "", "a");
    assert_refused(stand_give_part(&stand, 0, &part), "makes no sense");
    buffer_free(&part);
    stand_down();
    capture_free(capture);
}
END_TEST

START_TEST(test_install_that_is_not_what_its_sender_has_is_refused)
{
    struct capture *capture = make_capture(5000, 7);
    struct install_end end = capture->end;
    struct buffer body = {0};
    struct answer answer;
    stand_up(100);
    struct store_status before = stand_status(&stand), after;
    stand_give(&stand, capture);
    end.state_hash[15] ^= 1;
    assert_refused(stand_end(&stand, &end), "state hash");
    end = capture->end;
    end.keys++;
    stand_give(&stand, capture);
    assert_refused(stand_end(&stand, &end), "number of keys");
    end = capture->end;
    end.index++;
    stand_give(&stand, capture);
    assert_refused(stand_end(&stand, &end), "another snapshot's");
    ASSERT_OK(stand_begin(&stand, end.index, end.term));
    wire_put_u32(&body, 0);
    stand_ask(&stand, PROTO_INSTALL_END, &body, &answer);
    assert_refused(install_reply_of(&answer), "no sense");
    after = stand_status(&stand);
    ck_assert_mem_eq(&after, &before, sizeof(after));
    stand_down();
    capture_free(capture);
}
END_TEST

/* BEGIN again, an edge that is new, and the end of the process give back what was begun. */
START_TEST(test_install_that_is_abandoned_leaves_nothing)
{
    struct capture *capture = make_capture(5000, 8);
    stand_up(100);
    stand_give(&stand, capture);
    ck_assert_int_eq(access(INSTALL_LITTER, F_OK), 0);
    unsigned before = descriptors();
    stand_give(&stand, capture);
    ck_assert_uint_eq(descriptors(), before);
    struct bus_client *other = stand_dial(&stand, PROTO_ROLE_RAFTD);
    STAND_UNTIL(&stand, access(INSTALL_LITTER, F_OK));
    assert_refused(stand_end(&stand, &capture->end), "not begun, or given up");
    bus_client_free(other);
    stand_give(&stand, capture);
    stand_close(&stand);
    check_no_litter();
    check_clean();
    stand_open(&stand);
    struct store_status old = stand_status(&stand);
    ck_assert_uint_eq(old.applied_index, 112);
    stand_down();
    capture_free(capture);
}
END_TEST

/* The old store's views and the reads that wait for the new one. */
START_TEST(test_install_ends_views_and_answers_reads_that_wait)
{
    struct capture *capture = make_capture(20000, 9);
    struct buffer body = {0}, part = {0};
    struct answer waiting, later;
    struct view *view;
    struct message_list list;
    struct read_record record;
    struct tree_record found;
    uint64_t index;
    bool is_last;
    stand_up(10000);
    struct bus_client *httpd = stand_dial(&stand, PROTO_ROLE_HTTPD);
    struct store *store = stand.storaged.store;
    struct snapshot_opened opened = stand_open_snapshot(&stand, 60000);
    ck_assert_uint_eq(stand_read_part(&stand, opened.view, 0, &part, &is_last), 0);
    ck_assert_int_eq(store_view(store, UINT64_MAX, &view), 0);
    struct cursor cursor = cursor_of(view);
    ck_assert_int_eq(cursor_first(&cursor), 0);
    (void)stand_put(&stand, "k", 1, "v", 1); /* pages are held for them */
    read_begin(&body, capture->end.index, 30000);
    read_add(&body, "\xff\xff", 2);
    stand_call(&stand, httpd, PROTO_READ, &body, &waiting);
    read_begin(&body, capture->end.index + 1, 30000);
    read_add(&body, "later", 5);
    stand_call(&stand, httpd, PROTO_READ, &body, &later);
    stand_install(&stand, capture);
    STAND_UNTIL(&stand, waiting.is_there);
    ck_assert(!later.is_there);
    struct wire_reader reader = answer_body(&waiting, PROTO_READ_OK);
    ck_assert_int_eq(read_ok_decode(&reader, &index, &list), 0);
    ck_assert_uint_eq(index, capture->end.index);
    ck_assert(read_ok_next(&list, &record));
    ck_assert_uint_eq(record.status, PROTO_STATUS_OK);
    ck_assert_uint_eq(record.revision, capture->end.index);
    ck_assert_int_eq(cursor_next(&cursor), -ESTALE);
    ck_assert_int_eq(cursor_load(&cursor, &found), -ESTALE);
    view_close(view);
    ck_assert_uint_eq(stand_read_part(&stand, opened.view, 1, &part, &is_last),
                      PROTO_STATUS_TIMEOUT);
    stand_close_snapshot(&stand, opened.view);
    ck_assert_uint_eq(opened_views(), 0);
    (void)stand_put(&stand, "later", 5, "v", 1);
    STAND_UNTIL(&stand, later.is_there);
    answer_free(&waiting);
    answer_free(&later);
    bus_client_free(httpd);
    buffer_free(&part);
    stand_down();
    capture_free(capture);
}
END_TEST

/* Entries, reads and checkpoints go on while parts come. */
START_TEST(test_install_leaves_the_old_store_alone_until_its_end)
{
    struct capture *capture = make_capture(20000, 10);
    stand_up(10);
    struct store *store = stand.storaged.store;
    uint64_t index = store_applied_index(store);
    ASSERT_OK(stand_begin(&stand, capture->end.index, capture->end.term));
    for (unsigned i = 0; i < capture->count; i++) {
        ck_assert_uint_eq(stand_put(&stand, &i, sizeof(i), "v", 1).applied_index, ++index);
        ASSERT_OK(stand_give_part(&stand, i, &capture->parts[i]));
        checkpoint(store);
        ck_assert_uint_eq(stand_status(&stand).durable_index, index);
    }
    ASSERT_OK(stand_end(&stand, &capture->end));
    stand_check_is(&stand, capture);
    stand_down();
    capture_free(capture);
}
END_TEST

/* Parts in flight as raftd has them, and more than the worker is given at once. */
START_TEST(test_install_takes_parts_in_flight_and_refuses_too_many)
{
    struct capture *capture = make_capture(20000, 11);
    static struct answer answers[CAPTURE_PARTS_MAX];
    unsigned refused = 0, taken = 0;
    ck_assert_uint_gt(capture->count, 4);
    stand_up(10);
    for (unsigned window = 4; window <= 2 * INSTALL_STEPS_MAX; window += 12) {
        ASSERT_OK(stand_begin(&stand, capture->end.index, capture->end.term));
        unsigned sent = 0;
        for (; sent < window; sent++) { /* of one turn */
            struct wire_reader reader =
                wire_reader_of(capture->parts[sent % capture->count].bytes,
                               capture->parts[sent % capture->count].length);
            struct buffer body = {0};
            install_part_encode(&body, sent, &reader);
            stand_call(&stand, stand.client, PROTO_INSTALL_PART, &body, &answers[sent]);
        }
        STAND_UNTIL(&stand, stand.calls == 0);
        for (unsigned i = 0; i < sent; i++) {
            struct install_reply reply = install_reply_of(&answers[i]);
            taken += reply.status == PROTO_STATUS_OK;
            refused += reply.status != PROTO_STATUS_OK;
        }
        if (window == 4)
            ck_assert_uint_eq(taken, 4);
    }
    ck_assert_uint_gt(refused, 0);
    stand_install(&stand, capture);
    stand_check_is(&stand, capture);
    stand_down();
    capture_free(capture);
}
END_TEST

UNIT_MAIN("install", test_install_of_100000_records_is_the_same_state_and_goes_on,
          test_install_gives_equal_hashes_at_equal_index_ever_after,
          test_install_again_and_again_leaves_nothing_behind,
          test_install_of_nothing_at_index_0_is_an_empty_store,
          test_install_damaged_part_is_refused_and_a_new_begin_heals,
          test_install_out_of_order_is_refused,
          test_install_that_is_not_what_its_sender_has_is_refused,
          test_install_that_is_abandoned_leaves_nothing,
          test_install_ends_views_and_answers_reads_that_wait,
          test_install_leaves_the_old_store_alone_until_its_end,
          test_install_takes_parts_in_flight_and_refuses_too_many)
