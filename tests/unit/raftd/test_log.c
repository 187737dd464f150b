#include "../unit.h"

#include "clock.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIRST_SEGMENT "raft/00000000000000000001.log"

static char folder[] = "/tmp/conure-test-log-XXXXXX";
static struct loop *loop;
static struct log *log_open_now;
static uint64_t durable, cut_bytes;
static int failure, failure_wanted;
static struct error error;

static void enter_folder(void)
{
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0);
    ck_assert_int_eq(mkdir("raft", 0700), 0);
    ck_assert_int_eq(loop_new(&loop), 0);
}

static void leave_folder(void)
{
    char command[128];
    loop_free(loop);
    ck_assert_int_eq(chdir("/"), 0);
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    ck_assert_int_eq(system(command), 0);
}

static void on_durable(void *context, uint64_t index, uint64_t term)
{
    (void)context;
    (void)term;
    durable = index;
}

static void on_failed(void *context, int code)
{
    (void)context;
    failure = code;
    if (code != failure_wanted)
        ck_abort_msg("the log failed: %s", strerror(-code));
}

static int open_log(uint64_t previous_index, uint64_t previous_term)
{
    struct log_options options = {.loop = loop,
                                  .cluster_id = "test",
                                  .previous_index = previous_index,
                                  .previous_term = previous_term,
                                  .on_durable = on_durable,
                                  .on_failed = on_failed};
    error.text[0] = '\0';
    cut_bytes = 0;
    int code = log_open(&log_open_now, &options, &cut_bytes, &error);
    if (!code)
        durable = log_last_index(log_open_now);
    return code;
}

static void fill(uint8_t *data, size_t bytes, uint64_t index)
{
    for (size_t i = 0; i < bytes; i++)
        data[i] = (uint8_t)(index * 13 + i);
}

static uint8_t data[RECORD_DATA_BYTES_MAX];

static void append(uint64_t term, size_t bytes)
{
    fill(data, bytes, log_last_index(log_open_now) + 1);
    log_append(log_open_now, term, ENTRY_COMMAND, data, bytes);
}

static void sync_all(void)
{
    uint64_t until_ms = clock_monotonic_ms() + 20000;
    log_flush(log_open_now);
    while (durable < log_last_index(log_open_now) && clock_monotonic_ms() < until_ms) {
        loop_turn(loop, 100);
        log_flush(log_open_now);
    }
    ck_assert_uint_eq(durable, log_last_index(log_open_now));
}

struct expect {
    uint64_t next;
    size_t bytes;
};

static bool on_record(void *context, const struct record *record)
{
    struct expect *expect = context;
    ck_assert_uint_eq(record->index, expect->next++);
    if (expect->bytes)
        ck_assert_uint_eq(record->data_bytes, expect->bytes);
    fill(data, record->data_bytes, record->index);
    if (record->data_bytes)
        ck_assert_mem_eq(record->data, data, record->data_bytes);
    return true;
}

static void check_entries(uint64_t first, uint64_t last, size_t bytes)
{
    struct expect expect = {first, bytes};
    if (first > last)
        return;
    ck_assert_int_eq(log_read(log_open_now, first, last, on_record, &expect), 0);
    ck_assert_uint_eq(expect.next, last + 1);
}

START_TEST(test_log_entries_are_read_back_from_memory_and_after_reopen)
{
    enter_folder();
    ck_assert_int_eq(open_log(0, 0), 0);
    for (unsigned i = 0; i < 1000; i++) {
        append(1 + i / 500, i % 200);
        if (i % 7 == 0)
            sync_all();
    }
    sync_all();
    check_entries(1, 1000, 0);
    log_forget(log_open_now, 1000);
    check_entries(1, 1000, 0); /* from the file now */
    log_close(log_open_now);
    ck_assert_int_eq(open_log(0, 0), 0);
    ck_assert_uint_eq(log_last_index(log_open_now), 1000);
    ck_assert_uint_eq(log_last_term(log_open_now), 2);
    ck_assert_uint_eq(cut_bytes, 0);
    check_entries(1, 1000, 0);
    append(3, 10); /* and it goes on */
    sync_all();
    check_entries(990, 1001, 0);
    log_close(log_open_now);
    leave_folder();
}
END_TEST

/* Old ones from the file, new ones from memory: some of these are on their way to the same file. */
START_TEST(test_log_reading_across_what_is_not_yet_written_goes_on_in_memory)
{
    enter_folder();
    ck_assert_int_eq(open_log(0, 0), 0);
    for (unsigned i = 0; i < 100; i++)
        append(1, 50);
    sync_all();
    log_forget(log_open_now, 60); /* one batch, or several: as they were written */
    log_forget(log_open_now, 100);
    append(1, 50);
    check_entries(1, 101, 50); /* being collected */
    log_flush(log_open_now);
    append(1, 50);
    check_entries(1, 102, 50); /* being written */
    sync_all();
    log_close(log_open_now);
    leave_folder();
}
END_TEST

START_TEST(test_log_rolls_segments_holds_large_entries_and_is_cut)
{
    uint64_t term = 0;
    enter_folder();
    ck_assert_int_eq(open_log(0, 0), 0);
    for (unsigned i = 0; i < 40; i++) {
        append(1, i == 20 ? 16u << 20 : 1u << 20);
        sync_all();
        log_forget(log_open_now, durable);
    }
    check_entries(1, 40, 0);
    ck_assert_uint_eq(log_cut_place(log_open_now, 0, &term), 0);
    uint64_t place = log_cut_place(log_open_now, 39, &term);
    ck_assert_uint_gt(place, 25);
    ck_assert_uint_eq(term, 1);
    uint64_t all = log_cut_place(log_open_now, 40, &term);
    ck_assert_uint_eq(log_over_bytes(log_open_now, UINT64_MAX), 0);
    ck_assert_uint_eq(log_over_bytes(log_open_now, 0), all);
    ck_assert_uint_eq(log_over_bytes(log_open_now, log_bytes(log_open_now) - 1), 15);
    append(1, 16u << 20); /* in a file that is not there yet */
    ck_assert_uint_eq(log_cut_place(log_open_now, 41, &term), all);
    sync_all();
    ck_assert_uint_eq(log_cut_place(log_open_now, 41, &term), 40);
    ck_assert_int_eq(log_cut(log_open_now, place), 0);
    ck_assert_uint_eq(log_first_index(log_open_now), place + 1);
    ck_assert_int_eq(access(FIRST_SEGMENT, F_OK), -1);
    log_close(log_open_now);
    ck_assert_int_eq(open_log(place, 1), 0);
    ck_assert_uint_eq(log_last_index(log_open_now), 41);
    check_entries(place + 1, 41, 0);
    log_close(log_open_now);
    ck_assert_int_eq(open_log(place - 5, 1), -EBADMSG); /* files are missing */
    ck_assert_ptr_nonnull(strstr(error.text, "files are missing"));
    leave_folder();
}
END_TEST

static void reopen(void)
{
    log_close(log_open_now);
    ck_assert_int_eq(open_log(0, 0), 0);
    ck_assert_uint_eq(cut_bytes, 0);
}

START_TEST(test_log_truncates_anywhere_and_goes_on)
{
    static const uint64_t places[] = {39, 30, 17, 16, 3, 1};
    enter_folder();
    ck_assert_int_eq(open_log(0, 0), 0);
    for (unsigned i = 0; i < 40; i++) /* three files */
        append(1, 1u << 20);
    for (unsigned i = 0; i < sizeof(places) / sizeof(*places); i++) {
        append(2 + i, 100); /* some not written yet */
        uint64_t index = places[i];
        ck_assert_int_eq(log_truncate(log_open_now, index, index > 1), 0);
        ck_assert_uint_eq(log_last_index(log_open_now), index - 1);
        check_entries(1, index - 1, 0);
        reopen();
        ck_assert_uint_eq(log_last_index(log_open_now), index - 1);
        ck_assert_uint_eq(terms_last(log_terms_found(log_open_now)), index > 1);
        append(2 + i, 300);
        append(2 + i, 40);
        check_entries(1, index + 1, 0); /* also what is still in memory */
        sync_all();
        reopen();
        ck_assert_uint_eq(log_last_index(log_open_now), index + 1);
        ck_assert_uint_eq(terms_at(log_terms_found(log_open_now), index), 2 + i);
        check_entries(1, index + 1, 0);
        if (index > 1)
            ck_assert_int_eq(log_truncate(log_open_now, index, 1), 0);
    }
    log_close(log_open_now);
    leave_folder();
}
END_TEST

/* Four batches of three entries: a small log to cut and flip. */
static size_t small_log(uint8_t *bytes, size_t capacity)
{
    ck_assert_int_eq(open_log(0, 0), 0);
    for (unsigned i = 0; i < 12; i++) {
        append(1, 20);
        if (i % 3 == 2)
            sync_all();
    }
    log_close(log_open_now);
    int fd = open(FIRST_SEGMENT, O_RDONLY);
    ck_assert_int_eq(pread(fd, bytes, capacity, 0), (ssize_t)capacity);
    close(fd);
    return SEGMENT_HEADER_BYTES + 12 * record_bytes_of(20);
}

static void write_log(const uint8_t *bytes, size_t length)
{
    int fd = open(FIRST_SEGMENT, O_WRONLY);
    ck_assert_int_eq(pwrite(fd, bytes, length, 0), (ssize_t)length);
    close(fd);
}

/* A crash may leave the last batch unwritten from any byte on. */
START_TEST(test_log_tail_torn_anywhere_is_cut_to_whole_entries)
{
    uint8_t bytes[4096], torn[4096];
    enter_folder();
    size_t end = small_log(bytes, sizeof(bytes)), begin = end - 3 * record_bytes_of(20);
    for (size_t at = begin; at <= end; at += 3) {
        memcpy(torn, bytes, sizeof(torn));
        memset(torn + at, 0, sizeof(torn) - at);
        write_log(torn, sizeof(torn));
        ck_assert_msg(open_log(0, 0) == 0, "at %zu: %s", at, error.text);
        uint64_t whole = 9 + (at - begin) / record_bytes_of(20);
        ck_assert_msg(log_last_index(log_open_now) >= whole, "at %zu: %llu", at,
                      (unsigned long long)log_last_index(log_open_now));
        check_entries(1, log_last_index(log_open_now), 20);
        log_close(log_open_now);
        ck_assert_int_eq(open_log(0, 0), 0); /* what was cut stays cut */
        ck_assert_uint_eq(cut_bytes, 0);
        log_close(log_open_now);
    }
    leave_folder();
}
END_TEST

/* Every byte flipped: refused with file and offset and nothing changed, or a clean cut within the
 * last batch; never wrong data. */
START_TEST(test_log_flipped_byte_is_refused_or_cut_never_returned)
{
    uint8_t bytes[4096], after[4096];
    unsigned refused = 0, cut = 0;
    enter_folder();
    size_t end = small_log(bytes, sizeof(bytes)), last_batch = end - 3 * record_bytes_of(20);
    for (size_t at = 0; at < end;
         at += 7) { /* 7 and the records' 64 bytes share no factor: every field is met */
        bytes[at] ^= 0x10;
        write_log(bytes, sizeof(bytes));
        int code = open_log(0, 0);
        if (code) {
            int fd = open(FIRST_SEGMENT, O_RDONLY);
            ck_assert_int_eq(pread(fd, after, sizeof(after), 0), (ssize_t)sizeof(after));
            close(fd);
            ck_assert_mem_eq(after, bytes, sizeof(bytes));
            ck_assert_ptr_nonnull(strstr(error.text, FIRST_SEGMENT));
            refused++;
        } else {
            check_entries(1, log_last_index(log_open_now), 20);
            ck_assert_msg(log_last_index(log_open_now) == 12 || at >= last_batch,
                          "byte %zu: entries were cut that were durable", at);
            cut += log_last_index(log_open_now) < 12;
            log_close(log_open_now);
        }
        bytes[at] ^= 0x10;
    }
    ck_assert_uint_gt(refused, last_batch / 14);
    ck_assert_uint_gt(cut, 0);
    leave_folder();
}
END_TEST

/* A value may hold any bytes, also those of a record that says that everything was durable: it is
 * no witness when the write of the value is torn. */
START_TEST(test_log_value_that_looks_like_records_convicts_nobody)
{
    uint8_t value[4000], half[512] = {0};
    struct buffer fake = {0};
    struct record record = {.kind = ENTRY_COMMAND, .index = 1u << 20, .term = 1};
    record.synced_index = record.index;
    enter_folder();
    (void)record_encode(&fake, &record, 0);
    for (size_t at = 0; at + fake.length <= sizeof(value); at += fake.length)
        memcpy(value + at, fake.bytes, fake.length);
    ck_assert_int_eq(open_log(0, 0), 0);
    append(1, 20);
    sync_all();
    log_append(log_open_now, 1, ENTRY_COMMAND, value, sizeof(value));
    sync_all();
    log_close(log_open_now);
    int fd = open(FIRST_SEGMENT, O_WRONLY);
    ck_assert_int_eq(pwrite(fd, half, sizeof(half), 3584), (ssize_t)sizeof(half));
    close(fd);
    ck_assert_msg(open_log(0, 0) == 0, "%s", error.text);
    ck_assert_uint_eq(log_last_index(log_open_now), 1);
    ck_assert_uint_gt(cut_bytes, 0);
    log_close(log_open_now);
    buffer_free(&fake);
    leave_folder();
}
END_TEST

START_TEST(test_log_file_cut_short_is_refused)
{
    uint8_t bytes[4096];
    enter_folder();
    size_t end = small_log(bytes, sizeof(bytes));
    static const size_t whole = SEGMENT_HEADER_BYTES;
    for (size_t length = whole; length <= end; length += record_bytes_of(20)) {
        ck_assert_int_eq(truncate(FIRST_SEGMENT, (off_t)length), 0);
        ck_assert_int_eq(open_log(0, 0), -EBADMSG);
        ck_assert_ptr_nonnull(strstr(error.text, "cut short"));
        ck_assert_int_eq(truncate(FIRST_SEGMENT, SEGMENT_BYTES), 0);
        write_log(bytes, sizeof(bytes));
    }
    ck_assert_int_eq(open_log(0, 0), 0);
    ck_assert_uint_eq(log_last_index(log_open_now), 12);
    log_close(log_open_now);
    leave_folder();
}
END_TEST

#ifdef CONURE_FAULT_POINTS
/* No room for the next file: what was appended waits and is written when there is; what was written
 * can be read meanwhile. */
START_TEST(test_log_full_disk_is_waited_out)
{
    char faults[512] = "log.create:1=ENOSPC";
    for (unsigned i = 2; i <= 12; i++) /* some tries: of the spare, and of the file */
        snprintf(faults + strlen(faults), sizeof(faults) - strlen(faults), ",log.create:%u=ENOSPC",
                 i);
    enter_folder();
    ck_assert_int_eq(setenv("CONURE_FAULT", faults, 1), 0);
    ck_assert_int_eq(open_log(0, 0), 0);
    append(1, 100);
    log_flush(log_open_now);
    uint64_t until_ms = clock_monotonic_ms() + 10000;
    while (!log_is_short_of_space(log_open_now) && clock_monotonic_ms() < until_ms)
        loop_turn(loop, 50);
    ck_assert(log_is_short_of_space(log_open_now));
    ck_assert_uint_eq(durable, 0);
    check_entries(1, 1, 0);
    append(1, 200);
    sync_all();
    ck_assert(!log_is_short_of_space(log_open_now));
    check_entries(1, 2, 0);
    reopen();
    ck_assert_uint_eq(log_last_index(log_open_now), 2);
    log_close(log_open_now);
    leave_folder();
}
END_TEST

/* Not even in a new file, and for want of space: what is on the disk then is not known. */
START_TEST(test_log_failed_sync_is_not_tried_again)
{
    enter_folder();
    ck_assert_int_eq(setenv("CONURE_FAULT", "log.sync:1=ENOSPC", 1), 0);
    failure_wanted = -EIO;
    ck_assert_int_eq(open_log(0, 0), 0);
    append(1, 100);
    log_flush(log_open_now);
    uint64_t until_ms = clock_monotonic_ms() + 3000;
    while (!failure && !durable && clock_monotonic_ms() < until_ms)
        loop_turn(loop, 50);
    ck_assert_int_eq(failure, -EIO);
    ck_assert_uint_eq(durable, 0);
    log_close(log_open_now);
    leave_folder();
}
END_TEST
#define FAULT_TESTS , test_log_full_disk_is_waited_out, test_log_failed_sync_is_not_tried_again
#else
#define FAULT_TESTS
#endif

UNIT_MAIN("log", test_log_entries_are_read_back_from_memory_and_after_reopen,
          test_log_reading_across_what_is_not_yet_written_goes_on_in_memory,
          test_log_rolls_segments_holds_large_entries_and_is_cut,
          test_log_truncates_anywhere_and_goes_on,
          test_log_tail_torn_anywhere_is_cut_to_whole_entries,
          test_log_flipped_byte_is_refused_or_cut_never_returned,
          test_log_value_that_looks_like_records_convicts_nobody,
          test_log_file_cut_short_is_refused FAULT_TESTS)
