/* What storaged's tests share: a folder of their own, entries made by hand, and the whole-file
 * checker after them. Each program uses some of it. */
#pragma once

#include "../unit.h"

#include "clock.h"
#include "message.h"
#include "store.h"
#include "verify.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define UNUSED __attribute__((unused))

#define TREE_FILE "conure.db"

UNUSED static char folder[] = "/tmp/conure-test-storaged-XXXXXX";
UNUSED static uint64_t random_state;

UNUSED static void enter_folder(void)
{
    memset(folder + sizeof(folder) - 7, 'X', 6);
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0);
}

UNUSED static void leave_folder(void)
{
    char command[128];
    ck_assert_int_eq(chdir("/"), 0);
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    ck_assert_int_eq(system(command), 0);
}

UNUSED static uint64_t random_next(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

UNUSED static struct store *open_store(void)
{
    struct store *store = NULL;
    struct error error = {""};
    ck_assert_msg(store_open(&store, TREE_FILE, &error) == 0, "%s", error.text);
    return store;
}

UNUSED static struct command_result apply(struct store *store, const struct command *command)
{
    struct buffer bytes = {0};
    struct command_result result;
    command_encode(&bytes, command);
    struct apply_entry entry = {
        .term = 1, .kind = ENTRY_COMMAND, .data = bytes.bytes, .data_bytes = bytes.length};
    ck_assert_msg(store_apply(store, &entry, &result) == 0, "%s", store_damage(store));
    buffer_free(&bytes);
    return result;
}

UNUSED static struct command_result put(struct store *store, const void *key, size_t key_bytes,
                                        const void *value, size_t value_bytes)
{
    struct command command = {.operation = COMMAND_PUT,
                              .key = key,
                              .key_bytes = key_bytes,
                              .value = value,
                              .value_bytes = value_bytes};
    return apply(store, &command);
}

UNUSED static struct command_result del(struct store *store, const void *key, size_t key_bytes)
{
    struct command command = {.operation = COMMAND_DELETE, .key = key, .key_bytes = key_bytes};
    return apply(store, &command);
}

UNUSED static void checkpoint(struct store *store)
{
    if (!store_checkpoint_begin(store))
        return;
    ck_assert_int_eq(store_checkpoint_write(store), 0);
    store_checkpoint_end(store);
}

UNUSED static void report(void *context, const char *line)
{
    (void)context;
    fprintf(stderr, "finding: %s\n", line);
}

UNUSED static void check_clean(void)
{
    struct error error = {""};
    ck_assert_msg(verify_file(TREE_FILE, report, NULL, NULL, &error) == 0, "%s", error.text);
}

UNUSED static void fill_value(uint8_t *value, size_t bytes, uint32_t seed)
{
    for (size_t i = 0; i < bytes; i++)
        value[i] = (uint8_t)(seed + i * 7 + (i >> 8));
}

UNUSED static uint8_t value[50000];

UNUSED static uint8_t *read_file(size_t *ret_bytes)
{
    struct stat status;
    int fd = open(TREE_FILE, O_RDONLY);
    ck_assert_int_eq(fstat(fd, &status), 0);
    uint8_t *bytes = memory_new((size_t)status.st_size);
    ck_assert_int_eq(pread(fd, bytes, (size_t)status.st_size, 0), status.st_size);
    close(fd);
    *ret_bytes = (size_t)status.st_size;
    return bytes;
}

UNUSED static void write_file(const uint8_t *bytes, size_t length)
{
    int fd = open(TREE_FILE, O_WRONLY | O_TRUNC | O_CREAT, 0600);
    ck_assert_int_eq(write(fd, bytes, length), (ssize_t)length);
    close(fd);
}
