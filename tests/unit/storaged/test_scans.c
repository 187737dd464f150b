/* Scans over the bus against an array of what is there. */
#include "desk.h"

#include "scan.h"

#define KEYS 6000u

static struct desk desk;
static uint64_t revisions[KEYS];

/* In order: the number leads. Some have every byte value in them, some are long. */
static size_t key_of(unsigned i, uint8_t key[LIMIT_KEY_BYTES_CAP])
{
    size_t length = i % 97 == 0 ? 900 : 4 + i % 5;
    memset(key, (int)(i * 7), length);
    key[0] = (uint8_t)(i >> 12);
    key[1] = (uint8_t)(i >> 4);
    key[2] = (uint8_t)(i << 4);
    return length;
}

static size_t value_bytes_of(unsigned i)
{
    return i % 211 == 0 ? 30000 : i % 3 == 0 ? 0 : i % 300;
}

static void put_one(unsigned i)
{
    uint8_t key[LIMIT_KEY_BYTES_CAP];
    size_t length = key_of(i, key);
    fill_value(value, value_bytes_of(i), i);
    revisions[i] = store_applied_index(desk_store(&desk)) + 1;
    (void)put(desk_store(&desk), key, length, value, value_bytes_of(i));
}

/* Every key that is not divisible by `gap`. */
static void put_all(unsigned gap)
{
    for (unsigned i = 0; i < KEYS; i++)
        if (i % gap)
            put_one(i);
}

/* ---- what is expected ---- */

struct wanted {
    unsigned from, until; /* keys [from, until) */
    int after;            /* -1: none */
    uint8_t flags;
    uint64_t keys_max;
    uint64_t index_min;
};

static bool is_wanted(const struct wanted *wanted, unsigned i)
{
    if (!revisions[i] || i < wanted->from || i >= wanted->until)
        return false;
    if (wanted->after < 0)
        return true;
    return wanted->flags & SCAN_REVERSE ? (int)i < wanted->after : (int)i > wanted->after;
}

/* The next that is wanted from `i` on, in the scan's direction; KEYS: none. */
static unsigned next_wanted(const struct wanted *wanted, unsigned i)
{
    int step = wanted->flags & SCAN_REVERSE ? -1 : 1;
    int at = (int)i;
    while (at >= 0 && at < (int)KEYS && !is_wanted(wanted, (unsigned)at))
        at += step;
    return at >= 0 && at < (int)KEYS ? (unsigned)at : KEYS;
}

static void assert_record(const struct wanted *wanted, const struct scan_record *record, unsigned i)
{
    uint8_t key[LIMIT_KEY_BYTES_CAP];
    size_t length = key_of(i, key);
    ck_assert_uint_eq(record->key_bytes, length);
    ck_assert_mem_eq(record->key, key, length);
    ck_assert_uint_eq(record->revision, revisions[i]);
    if (wanted->flags) {
        bool has_value = !(wanted->flags & (SCAN_KEYS_ONLY | SCAN_COUNT_ONLY));
        ck_assert_uint_eq(record->value_bytes, has_value ? value_bytes_of(i) : 0);
    }
    if (record->value_bytes == 0)
        return;
    fill_value(value, value_bytes_of(i), i);
    ck_assert_mem_eq(record->value, value, value_bytes_of(i));
}

/* ---- asking ---- */

static struct message_list list;

static struct scan_part_head take_part(struct wire_reader body)
{
    struct scan_part_head head;
    ck_assert_int_eq(scan_part_decode(&body, &head, &list), 0);
    return head;
}

static struct scan_part_head open_scan(const struct wanted *wanted)
{
    uint8_t start[LIMIT_KEY_BYTES_CAP], end[LIMIT_KEY_BYTES_CAP], after[LIMIT_KEY_BYTES_CAP];
    struct buffer body = {0};
    struct scan_open open = {.index_min = wanted->index_min,
                             .wait_ms = 50,
                             .flags = wanted->flags,
                             .keys_max = wanted->keys_max,
                             .start = start,
                             .end = end,
                             .after = after};
    open.start_bytes = wanted->from ? key_of(wanted->from, start) : 0;
    open.end_bytes = wanted->until < KEYS ? key_of(wanted->until, end) : 0;
    open.after_bytes = wanted->after >= 0 ? key_of((unsigned)wanted->after, after) : 0;
    scan_open_encode(&body, &open);
    struct scan_part_head head =
        take_part(desk_call(&desk, PROTO_SCAN_OPEN, &body, PROTO_SCAN_PART));
    buffer_free(&body);
    return head;
}

static struct scan_part_head next_part(uint64_t scan, uint32_t part)
{
    struct buffer body = {0};
    struct scan_next next = {.scan = scan, .part = part};
    scan_next_encode(&body, &next);
    struct scan_part_head head =
        take_part(desk_call(&desk, PROTO_SCAN_NEXT, &body, PROTO_SCAN_PART));
    buffer_free(&body);
    return head;
}

/* Takes the part's records; returns the next that is wanted. */
static unsigned take_records(const struct wanted *wanted, unsigned i, uint64_t *keys,
                             unsigned *ret_last)
{
    struct scan_record record;
    int step = wanted->flags & SCAN_REVERSE ? -1 : 1;
    while (scan_part_next(&list, &record)) {
        ck_assert_uint_ne(i, KEYS);
        assert_record(wanted, &record, i);
        *ret_last = i;
        i = next_wanted(wanted, (unsigned)((int)i + step));
        ++*keys;
    }
    return i;
}

static uint64_t count_wanted(const struct wanted *wanted)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < KEYS; i++)
        count += is_wanted(wanted, i);
    return count;
}

/* The whole scan; returns how many parts it took. `meanwhile` is done between two. */
static unsigned check_scan(const struct wanted *wanted, void (*meanwhile)(void))
{
    uint64_t keys = 0, all = count_wanted(wanted);
    uint64_t expected = wanted->keys_max && wanted->keys_max < all ? wanted->keys_max : all;
    unsigned parts = 1, last = KEYS;
    unsigned i = next_wanted(wanted, wanted->flags & SCAN_REVERSE ? KEYS - 1 : 0);
    uint64_t index = store_applied_index(desk_store(&desk));
    bool counts = wanted->flags & SCAN_COUNT_ONLY;
    struct scan_part_head head = open_scan(wanted);
    for (;; parts++) {
        ck_assert_uint_eq(head.status, PROTO_STATUS_OK);
        ck_assert_uint_eq(head.index, index);
        ck_assert_uint_le(desk.answer.body.length, LIMIT_SCAN_PART_BYTES_SOFT + 40000);
        if (!counts)
            i = take_records(wanted, i, &keys, &last);
        if (!head.scan)
            break;
        if (meanwhile)
            meanwhile();
        head = next_part(head.scan, parts);
    }
    ck_assert_uint_eq(head.keys, expected);
    ck_assert_int_eq(head.more, expected < all);
    if (!counts)
        ck_assert_uint_eq(keys, expected);
    ck_assert_uint_eq(views_open(store_pager(desk_store(&desk))), 0);
    return parts;
}

/* ---- tests ---- */

START_TEST(test_scans_give_what_is_in_their_range)
{
    static const struct wanted fixed[] = {
        {0, KEYS, -1, 0, 0, 0},
        {0, KEYS, -1, SCAN_REVERSE, 0, 0},
        {0, KEYS, -1, SCAN_KEYS_ONLY, 0, 0},
        {0, KEYS, -1, SCAN_COUNT_ONLY, 0, 0},
        {0, KEYS, -1, SCAN_COUNT_ONLY | SCAN_REVERSE, 0, 0},
        {0, KEYS, -1, SCAN_COUNT_ONLY, 5000, 0},
        {0, KEYS, -1, SCAN_COUNT_ONLY | SCAN_REVERSE, 5000, 0},
        {0, KEYS, 300, SCAN_COUNT_ONLY, 0, 0},
        {100, 100, -1, 0, 0, 0},
        {200, 100, -1, SCAN_REVERSE, 0, 0},
        {100, 101, -1, 0, 0, 0},
        {100, 400, 5000, 0, 0, 0},
        {100, 400, 5000, SCAN_REVERSE, 3, 0},
        {100, 400, 5, 0, 2, 0},
    };
    random_state = 11;
    desk_open(&desk);
    put_all(3);
    for (unsigned i = 0; i < sizeof(fixed) / sizeof(*fixed); i++)
        check_scan(&fixed[i], NULL);
    for (unsigned i = 0; i < 150; i++) {
        struct wanted wanted = {.from = (unsigned)(random_next() % KEYS),
                                .until = (unsigned)(random_next() % (KEYS + 500)),
                                .after = -1,
                                .flags = (uint8_t)(random_next() % SCAN_GLANCE),
                                .keys_max = random_next() % 2 ? random_next() % 700 : 0};
        if (random_next() % 2)
            wanted.after = (int)(random_next() % KEYS);
        check_scan(&wanted, NULL);
    }
    desk_close(&desk);
}
END_TEST

static void overwrite(void)
{
    for (unsigned i = 0; i < 200; i++) {
        uint8_t key[LIMIT_KEY_BYTES_CAP];
        size_t length = key_of((unsigned)(random_next() % KEYS), key);
        if (random_next() % 2)
            (void)put(desk_store(&desk), key, length, "other", 5);
        else
            (void)del(desk_store(&desk), key, length);
    }
    checkpoint(desk_store(&desk));
}

START_TEST(test_scans_are_of_one_moment_whatever_is_written)
{
    static const uint8_t flags[] = {0, SCAN_REVERSE, SCAN_KEYS_ONLY};
    random_state = 12;
    desk_open(&desk);
    put_all(5);
    for (unsigned i = 0; i < 3; i++) {
        struct wanted wanted = {.until = KEYS, .after = -1, .flags = flags[i]};
        ck_assert_uint_gt(check_scan(&wanted, overwrite), 2);
        put_all(5); /* revisions anew, for the next round */
        for (unsigned k = 0; k < KEYS; k += 5) {
            uint8_t key[LIMIT_KEY_BYTES_CAP];
            (void)del(desk_store(&desk), key, key_of(k, key));
        }
    }
    desk_close(&desk);
}
END_TEST

/* What fits one part keeps no view, so that writes need not copy for it. */
START_TEST(test_scans_of_one_part_hold_nothing)
{
    struct wanted wanted = {.until = KEYS, .after = -1, .flags = SCAN_KEYS_ONLY, .keys_max = 1000};
    desk_open(&desk);
    put_all(4);
    struct pager *pager = store_pager(desk_store(&desk));
    uint64_t transaction = pager_transaction(pager);
    ck_assert_uint_eq(check_scan(&wanted, NULL), 1);
    wanted.flags |= SCAN_GLANCE;
    ck_assert_uint_eq(check_scan(&wanted, NULL), 1);
    wanted.keys_max = 4000;
    ck_assert_uint_eq(open_scan(&wanted).status, PROTO_STATUS_BUSY);
    ck_assert_uint_eq(pager_transaction(pager), transaction);
    wanted.flags = SCAN_KEYS_ONLY;
    ck_assert_uint_eq(check_scan(&wanted, NULL), 2);
    ck_assert_uint_ne(pager_transaction(pager), transaction);
    desk_close(&desk);
}
END_TEST

START_TEST(test_scans_wait_for_their_index)
{
    struct wanted wanted = {.until = KEYS, .after = -1};
    desk_open(&desk);
    put_all(4);
    wanted.index_min = store_applied_index(desk_store(&desk)) + 1;
    ck_assert_uint_eq(open_scan(&wanted).status, PROTO_STATUS_TIMEOUT);
    struct scan_open open = {.index_min = wanted.index_min, .wait_ms = 15000, .keys_max = 1};
    struct buffer body = {0};
    scan_open_encode(&body, &open);
    desk_ask(&desk, PROTO_SCAN_OPEN, &body);
    for (unsigned i = 0; i < 5; i++)
        loop_turn(desk.stand.storaged.loop, 1);
    ck_assert(!desk.answer.is_there);
    put_one(0);
    desk.stand.storaged.applied_some = true;
    STAND_UNTIL(&desk.stand, desk.answer.is_there);
    struct scan_part_head head = take_part(answer_body(&desk.answer, PROTO_SCAN_PART));
    ck_assert_uint_eq(head.status, PROTO_STATUS_OK);
    ck_assert_uint_eq(head.index, wanted.index_min);
    ck_assert(head.more);
    buffer_free(&body);
    desk_close(&desk);
}
END_TEST

START_TEST(test_scans_closed_or_given_up_are_not_found)
{
    struct wanted wanted = {.until = KEYS, .after = -1};
    uint64_t scans[LIMIT_SCANS_MAX + 1];
    struct buffer body = {0};
    desk_open(&desk);
    put_all(2);
    struct pager *pager = store_pager(desk_store(&desk));
    for (unsigned i = 0; i < LIMIT_SCANS_MAX; i++)
        scans[i] = open_scan(&wanted).scan;
    ck_assert_uint_eq(views_open(pager), LIMIT_SCANS_MAX);
    ck_assert_uint_eq(next_part(scans[0], 1).status, PROTO_STATUS_OK);
    ck_assert_uint_ne(open_scan(&wanted).scan, 0); /* in place of scans[1] */
    ck_assert_uint_eq(views_open(pager), LIMIT_SCANS_MAX);
    ck_assert_uint_eq(next_part(scans[1], 1).status, PROTO_STATUS_NOT_FOUND);
    ck_assert_uint_eq(next_part(scans[0], 1).status, PROTO_STATUS_NOT_FOUND); /* given already */
    ck_assert_uint_eq(next_part(scans[0], 2).status, PROTO_STATUS_OK);
    ck_assert_uint_eq(next_part(0, 0).status, PROTO_STATUS_NOT_FOUND);
    scan_close_encode(&body, scans[2]);
    (void)desk_call(&desk, PROTO_SCAN_CLOSE, &body, PROTO_SCAN_CLOSED);
    ck_assert_uint_eq(views_open(pager), LIMIT_SCANS_MAX - 1);
    ck_assert_uint_eq(next_part(scans[2], 1).status, PROTO_STATUS_NOT_FOUND);
    views_expire(pager, clock_monotonic_ms() + LIMIT_SCAN_MS_MAX + 1000);
    ck_assert_uint_eq(next_part(scans[0], 3).status, PROTO_STATUS_TIMEOUT);
    buffer_free(&body);
    desk_close(&desk);
}
END_TEST

/* No part takes long, of many keys either. */
START_TEST(test_scans_parts_are_short)
{
    uint64_t longest_us = 0, began_us;
    desk_open(&desk);
    for (uint32_t i = 0; i < 60000; i++) {
        uint32_t key = __builtin_bswap32(i);
        (void)put(desk_store(&desk), &key, sizeof(key), "some value", 10);
    }
    for (unsigned flags = 0; flags < SCAN_GLANCE; flags++) {
        struct wanted wanted = {.until = KEYS, .after = -1, .flags = (uint8_t)flags};
        uint32_t part = 1;
        struct scan_part_head head = open_scan(&wanted);
        while (head.scan) {
            began_us = clock_monotonic_us();
            head = next_part(head.scan, part++);
            uint64_t took_us = clock_monotonic_us() - began_us;
            longest_us = took_us > longest_us ? took_us : longest_us;
        }
        ck_assert_uint_eq(head.keys, 60000);
        ck_assert_uint_ge(part, flags & SCAN_COUNT_ONLY ? 1 : 20);
    }
    ck_assert_uint_lt(longest_us, 200000); /* a hundred times what it takes */
    desk_close(&desk);
}
END_TEST

UNIT_MAIN("scans", test_scans_give_what_is_in_their_range,
          test_scans_are_of_one_moment_whatever_is_written, test_scans_of_one_part_hold_nothing,
          test_scans_wait_for_their_index, test_scans_closed_or_given_up_are_not_found,
          test_scans_parts_are_short)
