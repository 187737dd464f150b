#include "fixture.h"

#include <errno.h>
#include <sys/wait.h>

#define DAMAGE_KEYS 300u

/* Small values and one that overflows. */
static size_t damage_value(unsigned i)
{
    size_t bytes = i == 7 ? 9000 : 100;
    fill_value(value, bytes, i);
    return bytes;
}

static void damage_make(void)
{
    struct store *store = open_store();
    for (unsigned i = 0; i < DAMAGE_KEYS; i++) {
        size_t bytes = damage_value(i);
        (void)put(store, &i, sizeof(i), value, bytes);
        if (i == 200)
            checkpoint(store);
    }
    checkpoint(store);
    store_close(store);
}

/* Opens what is there; every key is right, of the older meta, or called damaged. Returns how many
 * are right. */
static unsigned damage_read(void)
{
    struct store *store = NULL;
    struct error error = {""};
    unsigned right = 0;
    if (store_open(&store, TREE_FILE, &error))
        return 0;
    bool older = store_applied_index(store) != DAMAGE_KEYS;
    for (unsigned i = 0; i < DAMAGE_KEYS; i++) {
        struct tree_record record;
        int code = store_get(store, (struct node_bytes){(uint8_t *)&i, sizeof(i)}, &record);
        ck_assert_msg(code == 0 || code == -EBADMSG || older, "key %u: %d", i, code);
        if (code)
            continue;
        size_t bytes = damage_value(i);
        ck_assert_uint_eq(record.value.length, bytes);
        ck_assert_mem_eq(record.value.bytes, value, bytes);
        right++;
    }
    store_close(store);
    return right;
}

/* Every page in use is hit in several places. */
START_TEST(test_pager_damaged_byte_is_never_returned_as_data)
{
    size_t length;
    unsigned damaged_some = 0;
    enter_folder();
    damage_make();
    uint8_t *bytes = read_file(&length);
    ck_assert_uint_eq(damage_read(), DAMAGE_KEYS);
    size_t used = wire_load_u64(bytes + 64) * PAGE_BYTES;
    int fd = open(TREE_FILE, O_WRONLY);
    for (size_t at = 0; at < used; at += 211) {
        uint8_t flipped = bytes[at] ^ 0x40;
        ck_assert_int_eq(pwrite(fd, &flipped, 1, (off_t)at), 1);
        damaged_some += damage_read() < DAMAGE_KEYS;
        ck_assert_int_eq(pwrite(fd, bytes + at, 1, (off_t)at), 1);
    }
    ck_assert_uint_gt(damaged_some, 30);
    close(fd);
    free(bytes);
    leave_folder();
}
END_TEST

START_TEST(test_pager_torn_newest_meta_falls_back_to_the_one_before)
{
    size_t length;
    enter_folder();
    damage_make();
    uint8_t *bytes = read_file(&length);
    uint64_t first = wire_load_u64(bytes + 16), second = wire_load_u64(bytes + PAGE_BYTES + 16);
    size_t newest = first > second ? 0 : PAGE_BYTES;
    memset(bytes + newest + 512, 0xff, 512);
    bytes[newest + 100] ^= 1;
    write_file(bytes, length);
    struct store *store = open_store();
    ck_assert_uint_eq(store_applied_index(store), 201);
    for (unsigned i = 0; i < 500; i++) /* and it can be written to again */
        (void)put(store, &i, sizeof(i), "x", 1);
    checkpoint(store);
    store_close(store);
    check_clean();
    free(bytes);
    leave_folder();
}
END_TEST

/* The newest meta is whole, but not what it points to: without its root it is one back to the
 * commit before, while the free map is made anew. */
static void damage_behind_meta(size_t pointer, uint64_t index_expected)
{
    size_t length;
    enter_folder();
    damage_make();
    uint8_t *bytes = read_file(&length);
    size_t newest =
        wire_load_u64(bytes + 16) > wire_load_u64(bytes + PAGE_BYTES + 16) ? 0 : PAGE_BYTES;
    size_t at = wire_load_u64(bytes + newest + pointer) * PAGE_BYTES + 100;
    bytes[at] ^= 1;
    write_file(bytes, length);
    struct store *store = open_store();
    ck_assert_uint_eq(store_applied_index(store), index_expected);
    ck_assert_str_eq(store_damage(store), "");
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned k = 0; k < 300; k++)
            (void)put(store, &k, sizeof(k), "x", 1);
        checkpoint(store);
        check_clean(); /* nothing leaked, nothing twice */
    }
    store_close(store);
    free(bytes);
    leave_folder();
}

START_TEST(test_pager_damaged_root_falls_back_one)
{
    damage_behind_meta(48, 201);
}
END_TEST

START_TEST(test_pager_damaged_free_map_is_made_from_the_tree)
{
    damage_behind_meta(112, DAMAGE_KEYS);
}
END_TEST

START_TEST(test_pager_both_metas_damaged_or_newer_version_is_refused_untouched)
{
    size_t length, length_after;
    struct store *store = NULL;
    struct error error = {""};
    enter_folder();
    damage_make();
    uint8_t *bytes = read_file(&length);
    bytes[48] ^= 1;
    bytes[PAGE_BYTES + 48] ^= 1;
    write_file(bytes, length);
    ck_assert_int_eq(store_open(&store, TREE_FILE, &error), -EBADMSG);
    ck_assert_str_eq(error.text, "conure.db is damaged: neither of its meta pages is valid");
    uint8_t *after = read_file(&length_after);
    ck_assert_uint_eq(length, length_after);
    ck_assert_mem_eq(bytes, after, length);
    free(after);
    bytes[48] ^= 1;
    wire_store_u32(bytes + 40, 2);
    page_seal(bytes, 1);
    write_file(bytes, length);
    ck_assert_int_eq(store_open(&store, TREE_FILE, &error), -EPROTO);
    ck_assert_str_eq(error.text, "conure.db has format version 2, this build knows 1");
    write_file((const uint8_t *)"short", 5);
    ck_assert_int_eq(store_open(&store, TREE_FILE, &error), -EBADMSG);
    ck_assert_str_eq(error.text, "conure.db is damaged: it has 5 bytes");
    free(bytes);
    leave_folder();
}
END_TEST

/* The format is frozen: this little tree has these bytes (but for the random store id). */
START_TEST(test_pager_format_golden)
{
    size_t length;
    enter_folder();
    struct store *store = open_store();
    (void)put(store, "a", 1, "one", 3);
    (void)put(store, "b", 1, "two", 3);
    checkpoint(store);
    struct store_status status;
    store_fill_status(store, &status);
    store_close(store);
    uint8_t *bytes = read_file(&length);
    memset(bytes + 128, 0, 16);
    ck_assert_uint_eq(wire_load_u64(bytes + 16),
                      2); /* transaction 2 on page 0, its root on page 3 */
    ck_assert_uint_eq(wire_load_u64(bytes + 48), 3);
    const uint8_t *leaf = bytes + 3 * PAGE_BYTES;
    uint32_t leaf_checksum = crc32c(0, leaf, PAGE_BYTES),
             meta_checksum = crc32c(0, bytes + 8, PAGE_BYTES - 8);
    ck_assert_mem_eq(leaf + PAGE_BYTES - 16, "\1\0\3\0\1\0\0\0\0\0\0\0aone", 16);
    ck_assert_msg(leaf_checksum == 0xc966b163u, "leaf 0x%08x", leaf_checksum);
    ck_assert_msg(meta_checksum == 0xf5ef53dcu, "meta 0x%08x", meta_checksum);
    free(bytes);
    leave_folder();
}
END_TEST

START_TEST(test_pager_directory_or_fifo_in_the_way_is_refused)
{
    struct store *store = NULL;
    struct error error = {""};
    enter_folder();
    ck_assert_int_eq(mkdir(TREE_FILE, 0700), 0);
    ck_assert_int_eq(store_open(&store, TREE_FILE, &error), -EBADMSG);
    ck_assert_str_eq(error.text, "conure.db is a directory, not a file");
    ck_assert_int_eq(rmdir(TREE_FILE), 0);
    ck_assert_int_eq(mkfifo(TREE_FILE, 0600), 0);
    ck_assert_int_eq(store_open(&store, TREE_FILE, &error), -EBADMSG);
    ck_assert_str_eq(error.text, "conure.db is a device, pipe or socket, not a file");
    leave_folder();
}
END_TEST

static int lost_pipe[2];

static void on_lost(const char *line)
{
    ssize_t written = write(lost_pipe[1], line, strlen(line));
    _exit(written < 0 ? 1 : 42);
}

/* The file is cut behind the back of an open store: the process ends at the page it cannot have,
 * and says which. */
START_TEST(test_pager_file_cut_while_open_names_the_page)
{
    char line[256] = "";
    int status;
    enter_folder();
    damage_make();
    ck_assert_int_eq(pipe(lost_pipe), 0);
    pid_t child = fork();
    if (child == 0) {
        pager_guard_maps(on_lost);
        struct store *store = open_store();
        struct tree_record record;
        if (truncate(TREE_FILE, 2 * PAGE_BYTES))
            _exit(1);
        for (unsigned i = 0; i < DAMAGE_KEYS; i++)
            (void)store_get(store, (struct node_bytes){(uint8_t *)&i, sizeof(i)}, &record);
        _exit(2);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 42, "status 0x%x", status);
    ck_assert_int_gt(read(lost_pipe[0], line, sizeof(line) - 1), 0);
    ck_assert_msg(!strncmp(line, "page ", 5), "%s", line);
    ck_assert_msg(strstr(line, " of conure.db: it cannot be read: the file was cut") != NULL, "%s",
                  line);
    leave_folder();
}
END_TEST

UNIT_MAIN("pager", test_pager_damaged_byte_is_never_returned_as_data,
          test_pager_torn_newest_meta_falls_back_to_the_one_before,
          test_pager_damaged_root_falls_back_one, test_pager_damaged_free_map_is_made_from_the_tree,
          test_pager_both_metas_damaged_or_newer_version_is_refused_untouched,
          test_pager_format_golden, test_pager_directory_or_fifo_in_the_way_is_refused,
          test_pager_file_cut_while_open_names_the_page)
