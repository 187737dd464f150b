#include "../unit.h"

#include "datadir.h"
#include "fault.h"
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[] = "/tmp/conure-test-file-XXXXXX";

static void enter_folder(void)
{
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0);
}

static void leave_folder(void)
{
    char command[128];
    ck_assert_int_eq(chdir("/"), 0);
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    ck_assert_int_eq(system(command), 0);
}

/* A layer that moves at most three bytes at a time and is interrupted every other call. */
static unsigned calls;

static long slow_read(int fd, void *bytes, size_t length, uint64_t offset)
{
    if (calls++ % 2)
        return -EINTR;
    return file_layer_system.read_at(fd, bytes, length < 3 ? length : 3, offset);
}

static long slow_write(int fd, const struct iovec *parts, int parts_count, uint64_t offset)
{
    struct iovec part = {parts[0].iov_base, parts[0].iov_len < 3 ? parts[0].iov_len : 3};
    (void)parts_count;
    if (calls++ % 2)
        return -EINTR;
    return file_layer_system.write_at(fd, &part, 1, offset);
}

START_TEST(test_file_short_and_interrupted_transfers_are_completed)
{
    struct file_layer slow = file_layer_system;
    char read_back[16] = "";
    int fd;
    slow.read_at = slow_read;
    slow.write_at = slow_write;
    enter_folder();
    file_layer = &slow;
    ck_assert_int_eq(file_open("t", "f", O_RDWR | O_CREAT, 0600, &fd), 0);
    struct iovec parts[] = {{"abcd", 4}, {"", 0}, {"efghij", 6}};
    ck_assert_int_eq(file_write_parts_at("t", fd, parts, 3, 2), 0);
    ck_assert_int_eq(file_read_at("t", fd, read_back, 10, 2), 0);
    ck_assert_str_eq(read_back, "abcdefghij");
    ck_assert_int_eq(file_read_at("t", fd, read_back, 11, 2), -ENODATA);
    file_close(fd);
    file_layer = &file_layer_system;
    leave_folder();
}
END_TEST

/* What a flush was asked for; the call that fails, from 1. */
static struct {
    uint64_t offset, bytes;
    unsigned flags;
} flushes[16];
static unsigned flushes_count, failing_flush;

static int note_flush(int fd, uint64_t offset, uint64_t bytes, unsigned flags)
{
    ck_assert_uint_lt(flushes_count, 16);
    flushes[flushes_count].offset = offset;
    flushes[flushes_count].bytes = bytes;
    flushes[flushes_count++].flags = flags;
    if (flushes_count == failing_flush)
        return -EIO;
    return file_layer_system.flush(fd, offset, bytes, flags);
}

/* Pieces go out once they are large enough, and only then is the oldest waited for: there is never
 * one more than may be. */
START_TEST(test_file_flow_has_so_many_pieces_on_their_way)
{
    enum { PART = FILE_FLOW_BYTES * 3 / 8, PER_PIECE = (FILE_FLOW_BYTES + PART - 1) / PART };
    struct file_layer noting = file_layer_system;
    static uint8_t bytes[PART];
    struct file_flow flow = {0};
    int fd;
    noting.flush = note_flush;
    enter_folder();
    file_layer = &noting;
    ck_assert_int_eq(file_open("t", "f", O_RDWR | O_CREAT, 0600, &fd), 0);
    for (uint64_t i = 0; i < (FILE_FLOW_PIECES + 1) * PER_PIECE + 1; i++) {
        uint64_t at = i * 2 * PART; /* with gaps */
        ck_assert_int_eq(file_write_at("t", fd, bytes, PART, at), 0);
        ck_assert_int_eq(file_flow("t", fd, &flow, at, PART), 0);
    }
    static const unsigned pieces[] = {0, 1, 2, 3, 0, 4, 1};
    ck_assert_uint_eq(flushes_count, 7);
    for (unsigned i = 0; i < 7; i++) {
        bool begins = i != 4 && i != 6;
        ck_assert_uint_eq(flushes[i].offset, (uint64_t)pieces[i] * PER_PIECE * 2 * PART);
        ck_assert_uint_eq(flushes[i].bytes, (2 * PER_PIECE - 1) * (uint64_t)PART);
        ck_assert_uint_eq(flushes[i].flags,
                          begins ? SYNC_FILE_RANGE_WRITE : SYNC_FILE_RANGE_WAIT_BEFORE);
    }
    for (failing_flush = 8; failing_flush <= 9; failing_flush++) {
        flow = (struct file_flow){.sent[0].end = 1};
        flushes_count = 7;
        ck_assert_int_eq(file_flow("t", fd, &flow, 0, FILE_FLOW_BYTES), -EIO);
    }
    file_layer = &file_layer_system;
    file_close(fd);
    leave_folder();
}
END_TEST

START_TEST(test_file_replace_leaves_whole_content_and_no_leftover)
{
    char content[16];
    size_t length = 0;
    enter_folder();
    ck_assert_int_eq(file_replace("t", ".", "state", "first", 5), 0);
    ck_assert_int_eq(file_replace("t", ".", "state", "second!", 7), 0);
    ck_assert_int_eq(file_read_whole("t", "state", content, sizeof(content), &length), 0);
    ck_assert_uint_eq(length, 7);
    ck_assert_mem_eq(content, "second!", 7);
    ck_assert_int_eq(access("state.new", F_OK), -1);
    ck_assert_int_eq(file_read_whole("t", "state", content, 6, &length), -EFBIG);
    ck_assert_int_eq(file_read_whole("t", "absent", content, 6, &length), -ENOENT);
    leave_folder();
}
END_TEST

START_TEST(test_datadir_second_lock_names_the_owner)
{
    struct error error = {""};
    char expected[128];
    int fd, status;
    enter_folder();
    ck_assert_int_eq(datadir_enter("a/b/c", &error), 0);
    ck_assert_int_eq(access("run", X_OK), 0);
    ck_assert_int_eq(datadir_lock("storaged", 0, &fd, &error), 0);
    snprintf(expected, sizeof(expected),
             "data directory is in use: storaged is running there with pid %d", getpid());
    pid_t child = fork();
    if (child == 0) {
        int other;
        int code = datadir_lock("storaged", 30, &other, &error);
        _exit(code == -EBUSY && !strcmp(error.text, expected) ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    close(fd);
    ck_assert_int_eq(datadir_lock("storaged", 0, &fd, &error), 0);
    leave_folder();
}
END_TEST

START_TEST(test_datadir_lock_from_outside_makes_nothing_and_names_the_owner)
{
    struct error error = {""};
    int fd, outside;
    enter_folder();
    ck_assert_int_eq(mkdir("plain", 0700), 0);
    ck_assert_int_eq(datadir_lock_outside("plain", "storaged", &outside, &error), 0);
    ck_assert_int_eq(outside, -1);
    ck_assert_int_eq(rmdir("plain"), 0);
    ck_assert_int_eq(datadir_enter("data", &error), 0);
    ck_assert_int_eq(datadir_lock("storaged", 0, &fd, &error), 0);
    ck_assert_int_eq(datadir_lock_outside("../data", "storaged", &outside, &error), -EBUSY);
    ck_assert_ptr_nonnull(strstr(error.text, "storaged is running there with pid "));
    close(fd);
    ck_assert_int_eq(datadir_lock_outside("../data", "storaged", &outside, &error), 0);
    ck_assert_int_ge(outside, 0);
    ck_assert_int_eq(datadir_lock("storaged", 0, &fd, &error), -EBUSY);
    close(outside);
    leave_folder();
}
END_TEST

START_TEST(test_datadir_below_a_file_is_refused_with_the_path)
{
    struct error error = {""};
    enter_folder();
    int fd = open("file", O_CREAT | O_WRONLY, 0600);
    close(fd);
    ck_assert_int_eq(datadir_enter("file/data", &error), -ENOTDIR);
    ck_assert_str_eq(error.text, "cannot use data directory file/data: Not a directory");
    leave_folder();
}
END_TEST

#ifdef CONURE_FAULT_POINTS
START_TEST(test_fault_points_fire_on_their_pass)
{
    int fd;
    setenv("CONURE_FAULT", "a.sync:2=EIO,b.write:2+=ENOSPC", 1);
    enter_folder();
    ck_assert_int_eq(file_open("t", "f", O_RDWR | O_CREAT, 0600, &fd), 0);
    ck_assert_int_eq(file_sync("a.sync", fd), 0);
    ck_assert_int_eq(file_sync("a.sync", fd), -EIO);
    ck_assert_int_eq(file_sync("a.sync", fd), 0);
    ck_assert_int_eq(file_write_at("b.write", fd, "x", 1, 0), 0);
    ck_assert_int_eq(file_write_at("b.write", fd, "x", 1, 0), -ENOSPC);
    ck_assert_int_eq(file_write_at("b.write", fd, "x", 1, 0), -ENOSPC);
    leave_folder();
}
END_TEST

START_TEST(test_fault_kill_ends_the_process)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        setenv("CONURE_FAULT", "p:1=kill", 1);
        (void)fault_check("p");
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}
END_TEST
#define FAULT_TESTS , test_fault_points_fire_on_their_pass, test_fault_kill_ends_the_process
#else
#define FAULT_TESTS
#endif

UNIT_MAIN("file", test_file_short_and_interrupted_transfers_are_completed,
          test_file_flow_has_so_many_pieces_on_their_way,
          test_file_replace_leaves_whole_content_and_no_leftover,
          test_datadir_second_lock_names_the_owner,
          test_datadir_lock_from_outside_makes_nothing_and_names_the_owner,
          test_datadir_below_a_file_is_refused_with_the_path FAULT_TESTS)
