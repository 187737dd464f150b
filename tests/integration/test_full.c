/* A disk that is full, made of a small tmpfs over the data directory (in a mount namespace of the
 * test's own; without the right to make one the tests say so and pass). Keys are refused, nothing
 * that was acknowledged is lost, reads and deletes go on, and with room again so do keys. */
#include "../unit/unit.h"

#include "lib/client.h"
#include "lib/node.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define DISK_BYTES "192m"
#define VALUE_BYTES 200000u
#define SMALL_VALUE_BYTES 3000u /* a page for each */
#define LARGE_VALUE_BYTES 1000000u
#define KEYS_MAX 80000u

static struct node node;
static struct client *client;
static char value[LARGE_VALUE_BYTES];
static size_t value_bytes = VALUE_BYTES;
static bool is_there[KEYS_MAX]; /* acknowledged */
static unsigned keys_count;

static bool begin_on_small_disk(void)
{
    node_new(&node, NULL);
    (void)mkdir(node.data, 0700);
    if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mount("tmpfs", node.data, "tmpfs", 0, "mode=0700,size=" DISK_BYTES)) {
        printf("skipped: cannot mount a tmpfs: %s\n", strerror(errno));
        node_free(&node);
        return false;
    }
    node_start(&node);
    client = client_new(node.url, 20000);
    return true;
}

static void end_on_small_disk(void)
{
    client_free(client);
    node_stop(&node);
    ck_assert_int_eq(umount(node.data), 0);
    node_free(&node);
}

static void make_value(unsigned key)
{
    uint32_t x = key * 2654435761u + 1;
    for (size_t i = 0; i < value_bytes; i++) {
        x = x * 1664525u + 1013904223u;
        value[i] = (char)(x >> 24);
    }
}

static struct answer ask(const char *method, unsigned key, size_t body_bytes)
{
    char target[64];
    snprintf(target, sizeof(target), "/kv?key=%u", key);
    return client_do(client, method, target, body_bytes ? value : NULL, body_bytes, NULL);
}

static int put(unsigned key)
{
    make_value(key);
    struct answer answer = ask("PUT", key, value_bytes);
    if (answer.status == 200)
        is_there[key] = true;
    return answer.status;
}

/* Some are refused while the log makes room and the store writes: full is what stays so. */
static void fill(void)
{
    uint64_t refused_since_ms = 0;
    while (!refused_since_ms || now_ms() - refused_since_ms < 2500) {
        int status = put(keys_count);
        ck_assert_msg(status == 200 || status == 503, "PUT: %d", status);
        if (status == 503 && !refused_since_ms)
            refused_since_ms = now_ms();
        if (status == 200) {
            refused_since_ms = 0;
            ck_assert_uint_lt(++keys_count, KEYS_MAX);
        } else {
            usleep(20000);
        }
    }
}

static void check_all(void)
{
    for (unsigned key = 0; key < keys_count; key++) {
        struct answer answer = ask("GET", key, 0);
        ck_assert_msg(answer.status == (is_there[key] ? 200 : 404), "GET %u: %d", key,
                      answer.status);
        if (!is_there[key])
            continue;
        make_value(key);
        ck_assert_uint_eq(answer.body_bytes, value_bytes);
        ck_assert_msg(!memcmp(answer.body, value, value_bytes), "key %u has another value", key);
    }
}

static void delete (unsigned key)
{
    struct answer answer = ask("DELETE", key, 0);
    ck_assert_msg(answer.status == 200, "DELETE %u: %d %s", key, answer.status, answer.body);
    is_there[key] = false;
}

static void delete_every(unsigned nth)
{
    for (unsigned key = 0; key < keys_count; key += nth)
        delete (key);
}

/* The same key, until it is taken. */
static void put_when_there_is_room(void)
{
    ck_assert_uint_lt(keys_count, KEYS_MAX);
    NODE_WAIT(&node, put(keys_count) == 200, 30000);
    keys_count++;
}

START_TEST(test_full_disk_refuses_keys_and_nothing_else)
{
    if (!begin_on_small_disk())
        return;
    fill();
    ck_assert_uint_gt(keys_count, 300); /* a third of the disk is not too little */
    make_value(keys_count);
    struct answer answer = ask("PUT", keys_count, value_bytes);
    ck_assert_int_eq(answer.status, 503);
    ck_assert_uint_lt(answer.ms, 2000);
    ck_assert_str_ne(answer.retry_after, "");
    check_all();
    delete_every(4);
    put_when_there_is_room();
    check_all();
    for (unsigned round = 0; round < 3; round++) {
        fill();
        delete_every(round + 1);
        put_when_there_is_room();
    }
    check_all();
    end_on_small_disk();
}
END_TEST

/* What it had acknowledged is there, and it goes on, though the disk has not a byte more. */
START_TEST(test_full_disk_survives_kills)
{
    if (!begin_on_small_disk())
        return;
    for (unsigned round = 0; round < 3; round++) {
        fill();
        node_kill_all(&node);
        client_free(client);
        node_launch(&node);
        client = client_new(node.url, 20000);
        NODE_WAIT(&node, ask("GET", 0, 0).status == (is_there[0] ? 200 : 404), 30000);
        check_all();
        delete_every(3);
    }
    put_when_there_is_room();
    end_on_small_disk();
}
END_TEST

/* Deletes write to the log too, and more of them than its reserve holds: what is cut serves again.
 */
START_TEST(test_full_disk_takes_deletes_without_end)
{
    char target[1100];
    unsigned refused = 0;
    if (!begin_on_small_disk())
        return;
    fill();
    for (unsigned i = 0; i < 40000; i++) {
        snprintf(target, sizeof(target), "/kv?key=%01000u", i);
        struct answer answer = client_do(client, "DELETE", target, NULL, 0, NULL);
        for (uint64_t until_ms = now_ms() + 15000; answer.status == 503 && now_ms() < until_ms;) {
            refused++;
            usleep(50000);
            answer = client_do(client, "DELETE", target, NULL, 0, NULL);
        }
        ck_assert_msg(answer.status == 200, "DELETE %u: %d %s", i, answer.status, answer.body);
    }
    ck_assert_uint_lt(refused, 400);
    check_all();
    delete_every(1);
    put_when_there_is_room();
    end_on_small_disk();
}
END_TEST

/* The room that small values leave is in pieces, in which large ones do not fit. */
START_TEST(test_full_disk_in_pieces)
{
    if (!begin_on_small_disk())
        return;
    value_bytes = SMALL_VALUE_BYTES;
    fill();
    unsigned small_count = keys_count;
    for (unsigned key = 0; key < small_count; key += 5)
        delete (key);
    value_bytes = LARGE_VALUE_BYTES;
    fill();
    for (unsigned key = 1; key < small_count; key += 5)
        delete (key);
    for (unsigned key = small_count; key < keys_count; key++)
        delete (key);
    value_bytes = SMALL_VALUE_BYTES;
    put_when_there_is_room();
    end_on_small_disk();
}
END_TEST

/* Not a byte is left, and it was not us. A node that starts then serves what it has. */
START_TEST(test_full_disk_of_others_is_waited_out)
{
    char path[160];
    if (!begin_on_small_disk())
        return;
    for (; keys_count < 100; keys_count++)
        ck_assert_int_eq(put(keys_count), 200);
    snprintf(path, sizeof(path), "%s/ballast", node.data);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    while (write(fd, value, 4096) == 4096)
        ;
    close(fd);
    fill();
    check_all();
    for (unsigned key = 0; key < 50; key++)
        delete (key);
    check_all();
    node_kill_all(&node);
    client_free(client);
    node_launch(&node);
    client = client_new(node.url, 20000);
    NODE_WAIT(&node, ask("GET", 0, 0).status == 404, 15000);
    check_all();
    for (unsigned key = 50; key < 60; key++)
        delete (key);
    ck_assert_int_eq(unlink(path), 0);
    put_when_there_is_room();
    check_all();
    end_on_small_disk();
}
END_TEST

UNIT_MAIN_WITHIN(280, "full", test_full_disk_refuses_keys_and_nothing_else,
                 test_full_disk_survives_kills, test_full_disk_takes_deletes_without_end,
                 test_full_disk_of_others_is_waited_out, test_full_disk_in_pieces)
