/* One page is open on each level. A page that is full gets the next number and goes out, and a
 * record of it goes to the page above; so children lie in front of their parents, and leaves in key
 * order with their overflow runs before them. */
#include "bulk.h"

#include "buffer.h"
#include "file.h"
#include "store.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#define TRANSACTION 1u
#define WRITE_BYTES (1u << 20)

struct level {
    uint8_t page[PAGE_BYTES];
    uint8_t separator[LIMIT_KEY_BYTES_CAP]; /* of the open page, for the level above */
    size_t separator_bytes;
    bool closed_some; /* the level above exists */
};

struct bulk {
    int fd;
    char path[LIMIT_PATH_BYTES_MAX], beside[LIMIT_PATH_BYTES_MAX + sizeof(BULK_BESIDE)];
    uint64_t pages;         /* the next number */
    uint64_t written_pages; /* up to here on the disk; the rest in `out` */
    struct buffer out;
    struct file_flow flow;
    unsigned levels_count;
    struct level levels[TREE_DEPTH_MAX];
    uint64_t keys;
    uint8_t state_hash[16];
    uint8_t last_key[LIMIT_KEY_BYTES_CAP];
    size_t last_key_bytes;
};

/* ---- pages out ---- */

static int bulk_flush(struct bulk *bulk)
{
    int code = file_write_at("bulk.write", bulk->fd, bulk->out.bytes, bulk->out.length,
                             bulk->written_pages * PAGE_BYTES);
    if (!code)
        code = file_flow("bulk.flow", bulk->fd, &bulk->flow, bulk->written_pages * PAGE_BYTES,
                         bulk->out.length);
    bulk->written_pages = bulk->pages;
    buffer_clear(&bulk->out, 2 * WRITE_BYTES);
    return code;
}

/* Seals what was reserved for `pages` pages at the end of `out`. */
static int bulk_close_pages(struct bulk *bulk, uint8_t *page, uint32_t pages)
{
    page_seal(page, pages);
    bulk->out.length += (size_t)pages * PAGE_BYTES;
    bulk->pages += pages;
    return bulk->out.length >= WRITE_BYTES ? bulk_flush(bulk) : 0;
}

static void level_open(struct level *level, enum page_type type, struct node_bytes separator)
{
    memset(level->page, 0, PAGE_BYTES);
    page_begin(level->page, type, 0, TRANSACTION, 0);
    if (separator.length)
        memcpy(level->separator, separator.bytes, separator.length);
    level->separator_bytes = separator.length;
}

/* Numbers the open page of the level and writes it. */
static int level_write(struct bulk *bulk, unsigned at, struct page_pin *ret_pin)
{
    uint8_t *page = buffer_reserve(&bulk->out, PAGE_BYTES);
    *ret_pin = (struct page_pin){bulk->pages, TRANSACTION};
    memcpy(page, bulk->levels[at].page, PAGE_BYTES);
    wire_store_u64(page + 8, bulk->pages);
    return bulk_close_pages(bulk, page, 1);
}

static int branch_add(struct bulk *bulk, unsigned at, struct page_pin child,
                      struct node_bytes separator);

static int level_close(struct bulk *bulk, unsigned at)
{
    struct level *level = &bulk->levels[at];
    struct page_pin pin;
    int code = level_write(bulk, at, &pin);
    level->closed_some = true;
    if (code)
        return code;
    return branch_add(bulk, at + 1, pin,
                      (struct node_bytes){level->separator, level->separator_bytes});
}

/* A record of the page below; the first of a branch has no key of its own. */
static int branch_add(struct bulk *bulk, unsigned at, struct page_pin child,
                      struct node_bytes separator)
{
    if (at == TREE_DEPTH_MAX)
        return -EFBIG;
    struct level *level = &bulk->levels[at];
    if (at == bulk->levels_count) {
        bulk->levels_count++;
        level_open(level, PAGE_BRANCH, separator);
    }
    struct node_bytes none = {NULL, 0};
    struct node_bytes key = node_count(level->page) ? separator : none;
    uint8_t *record =
        node_insert(level->page, node_count(level->page), BRANCH_RECORD_BYTES + key.length, key);
    if (!record) {
        int code = level_close(bulk, at);
        if (code)
            return code;
        level_open(level, PAGE_BRANCH, separator);
        key = none;
        record = node_insert(level->page, 0, BRANCH_RECORD_BYTES, none);
    }
    branch_record_write(record, child, key);
    return 0;
}

/* ---- records in ---- */

static int bulk_add_run(struct bulk *bulk, struct node_bytes value, struct page_pin *ret_pin)
{
    uint32_t pages = page_run_of_bytes(value.length);
    uint8_t *run = buffer_reserve(&bulk->out, (size_t)pages * PAGE_BYTES);
    memset(run + (size_t)(pages - 1) * PAGE_BYTES, 0, PAGE_BYTES);
    page_begin(run, PAGE_OVERFLOW, bulk->pages, TRANSACTION, pages);
    memcpy(run + PAGE_HEADER_BYTES, value.bytes, value.length);
    *ret_pin = (struct page_pin){bulk->pages, TRANSACTION};
    return bulk_close_pages(bulk, run, pages);
}

static int bulk_place(struct bulk *bulk, struct node_bytes key, size_t record_bytes,
                      uint8_t **ret_record)
{
    struct level *leaf = &bulk->levels[0];
    *ret_record = node_insert(leaf->page, node_count(leaf->page), record_bytes, key);
    if (*ret_record)
        return 0;
    size_t separator_bytes =
        tree_separator_bytes((struct node_bytes){bulk->last_key, bulk->last_key_bytes}, key);
    int code = level_close(bulk, 0);
    if (code)
        return code;
    level_open(leaf, PAGE_LEAF, (struct node_bytes){key.bytes, separator_bytes});
    *ret_record = node_insert(leaf->page, 0, record_bytes, key);
    assert(*ret_record);
    return 0;
}

int bulk_add(struct bulk *bulk, struct node_bytes key, uint64_t revision, struct node_bytes value)
{
    struct node_bytes last = {bulk->last_key, bulk->last_key_bytes};
    if (bulk->keys && node_compare(last, key) >= 0)
        return BULK_OUT_OF_ORDER;
    assert(key.length && key.length <= LIMIT_KEY_BYTES_CAP &&
           value.length <= LIMIT_VALUE_BYTES_CAP);
    struct tree_record record = {.key = key, .value = value, .revision = revision};
    struct page_pin run;
    uint8_t *place;
    int code = 0;
    record.is_overflow = tree_value_overflows(key.length, value.length);
    if (record.is_overflow) {
        record.value_hash = tree_value_hash(value);
        code = bulk_add_run(bulk, value, &run);
    }
    size_t behind = record.is_overflow ? OVERFLOW_REFERENCE_BYTES : value.length;
    if (!code)
        code = bulk_place(bulk, key, leaf_record_bytes(key.length, behind), &place);
    if (code)
        return code;
    tree_record_write(place, key, revision, value, record.is_overflow ? &run : NULL);
    store_hash_add(bulk->state_hash, &record);
    memcpy(bulk->last_key, key.bytes, key.length);
    bulk->last_key_bytes = key.length;
    bulk->keys++;
    return 0;
}

/* ---- life ---- */

int bulk_begin(struct bulk **ret_bulk, const char *path, enum bulk_place place, struct error *error)
{
    if (place == BULK_NEW && access(path, F_OK) == 0)
        return error_set(error, -EEXIST, "%s is there already", path);
    struct bulk *bulk = memory_new_zeroed(1, sizeof(*bulk));
    int length = snprintf(bulk->path, sizeof(bulk->path), "%s", path);
    int code = length < 0 || (size_t)length >= sizeof(bulk->path) ? -ENAMETOOLONG : 0;
    snprintf(bulk->beside, sizeof(bulk->beside), "%s" BULK_BESIDE, bulk->path);
    if (!code)
        code = file_open("bulk.open", bulk->beside, O_WRONLY | O_CREAT | O_TRUNC, 0600, &bulk->fd);
    if (code) {
        free(bulk);
        return error_set_errno(error, code, "cannot make %s", path);
    }
    bulk->pages = bulk->written_pages = PAGE_METAS;
    bulk->levels_count = 1;
    level_open(&bulk->levels[0], PAGE_LEAF, (struct node_bytes){NULL, 0});
    *ret_bulk = bulk;
    return 0;
}

uint64_t bulk_keys(const struct bulk *bulk)
{
    return bulk->keys;
}

const uint8_t *bulk_state_hash(const struct bulk *bulk)
{
    return bulk->state_hash;
}

static void bulk_free(struct bulk *bulk)
{
    file_close(bulk->fd);
    buffer_free(&bulk->out);
    free(bulk);
}

void bulk_abandon(struct bulk *bulk)
{
    (void)file_unlink("bulk.unlink", bulk->beside);
    bulk_free(bulk);
}

/* Closes the open pages upwards. The first level that never closed one is the root's. */
static int bulk_close_levels(struct bulk *bulk, struct meta *meta)
{
    for (unsigned at = 0;; at++) {
        if (!bulk->levels[at].closed_some) {
            meta->depth = at + 1;
            return level_write(bulk, at, &meta->root);
        }
        int code = level_close(bulk, at);
        if (code)
            return code;
    }
}

static int bulk_write_meta(struct bulk *bulk, struct meta *meta, const struct bulk_end *end)
{
    uint8_t pages[PAGE_METAS * PAGE_BYTES] = {0};
    meta->transaction = TRANSACTION;
    meta->pages = bulk->pages;
    meta->keys = bulk->keys;
    meta->applied_index = end->applied_index;
    meta->applied_term = end->applied_term;
    memcpy(meta->state_hash, bulk->state_hash, sizeof(meta->state_hash));
    meta->configuration_bytes = (uint32_t)end->configuration.length;
    if (end->configuration.length)
        memcpy(meta->configuration, end->configuration.bytes, end->configuration.length);
    if (getrandom(meta->store_id, sizeof(meta->store_id), 0) != (ssize_t)sizeof(meta->store_id))
        return -EIO;
    meta_encode(pages + TRANSACTION % PAGE_METAS * PAGE_BYTES, meta);
    return file_write_at("bulk.meta.write", bulk->fd, pages, sizeof(pages), 0);
}

/* A failed sync says nothing about what is on the disk, whatever its code (invariant 7). */
static int bulk_sync_code(int code)
{
    return code ? -EIO : 0;
}

/* The name's own directory: what must be synced for the name to last. */
static int bulk_sync_name(struct bulk *bulk)
{
    char *slash = strrchr(bulk->path, '/');
    if (slash)
        slash[slash == bulk->path] = '\0';
    return bulk_sync_code(file_sync_directory("bulk.directory.sync", slash ? bulk->path : "."));
}

int bulk_finish(struct bulk *bulk, const struct bulk_end *end, struct error *error)
{
    struct meta meta = {0};
    assert(end->configuration.length <= LIMIT_CONFIGURATION_BYTES_MAX);
    int code = bulk_close_levels(bulk, &meta);
    if (!code)
        code = bulk_flush(bulk);
    if (!code)
        code = bulk_write_meta(bulk, &meta, end);
    if (!code)
        code = bulk_sync_code(file_sync("bulk.sync", bulk->fd));
    if (!code)
        code = file_rename("bulk.rename", bulk->beside, bulk->path);
    if (code) {
        (void)error_set_errno(error, code, "cannot write %s", bulk->beside);
        bulk_abandon(bulk);
        return code;
    }
    code = bulk_sync_name(bulk);
    if (code)
        (void)error_set_errno(error, code, "cannot sync the name of %s", bulk->path);
    bulk_free(bulk);
    return code;
}
