/* Opening conure.db: the newest meta whose root is whole is what is there. */
#include "pager_private.h"

#include "buffer.h"
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>

/* A new file: an empty leaf as the root of transaction 1, made beside and renamed, so that half a
 * file never has the name. */
static int pager_create(const char *path, struct error *error)
{
    uint8_t pages[(PAGE_METAS + 1) * PAGE_BYTES];
    struct meta meta = {
        .transaction = 1, .root = {PAGE_METAS, 1}, .pages = PAGE_METAS + 1, .depth = 1};
    if (getrandom(meta.store_id, sizeof(meta.store_id), 0) != (ssize_t)sizeof(meta.store_id))
        return error_set(error, -EIO, "cannot make a store id");
    memset(pages, 0, sizeof(pages));
    meta_encode(pages + PAGE_BYTES, &meta);
    page_begin(pages + PAGE_METAS * PAGE_BYTES, PAGE_LEAF, PAGE_METAS, 1, 0);
    page_seal(pages + PAGE_METAS * PAGE_BYTES, 1);
    int code = file_replace("tree.create", ".", path, pages, sizeof(pages));
    return code ? error_set_errno(error, code, "cannot create %s", path) : 0;
}

/* Memory for all page numbers, which is there once it is touched. */
static void *map_numbers(size_t bytes)
{
    void *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED)
        abort(); /* as memory_new */
    return map;
}

static int pager_map(struct pager *pager, struct error *error)
{
    void *map =
        mmap(NULL, PAGER_FILE_BYTES_MAX, PROT_READ, MAP_SHARED | MAP_NORESERVE, pager->fd, 0);
    if (map == MAP_FAILED)
        return error_set_errno(error, -errno, "cannot map %s", pager->path);
    (void)madvise(map, PAGER_FILE_BYTES_MAX, MADV_RANDOM);
    pager->map = map;
    pager->frames = map_numbers(PAGER_FILE_PAGES_MAX * sizeof(*pager->frames));
    pager->checked = map_numbers(freemap_bytes(PAGER_FILE_PAGES_MAX));
    pager_guard(pager);
    return 0;
}

static void pager_unmap(struct pager *pager)
{
    pager_unguard(pager);
    if (!pager->map)
        return;
    (void)munmap((void *)(uintptr_t)pager->map, PAGER_FILE_BYTES_MAX);
    (void)munmap(pager->frames, PAGER_FILE_PAGES_MAX * sizeof(*pager->frames));
    (void)munmap(pager->checked, freemap_bytes(PAGER_FILE_PAGES_MAX));
}

/* The newest valid meta, and the other if it is valid too (its transaction is 0 else). */
static int pager_choose_meta(struct pager *pager, struct meta *newest, struct meta *previous,
                             struct error *error)
{
    struct meta metas[PAGE_METAS] = {0};
    uint32_t version = 0;
    for (uint64_t i = 0; i < PAGE_METAS; i++) {
        int code =
            meta_decode(pager->map + i * PAGE_BYTES, i, pager->file_pages, &metas[i], &version);
        if (code == META_OTHER_VERSION)
            return error_set(error, -EPROTO, "%s has format version %u, this build knows %u",
                             pager->path, version, PAGE_FORMAT_VERSION);
        if (code)
            metas[i].transaction = 0;
    }
    unsigned best = metas[1].transaction > metas[0].transaction;
    if (metas[best].transaction == 0)
        return error_set(error, -EBADMSG, "%s is damaged: neither of its meta pages is valid",
                         pager->path);
    *newest = metas[best];
    *previous = metas[!best];
    return 0;
}

static bool calls_free(const uint8_t *bits, size_t bytes, uint64_t number, uint32_t pages)
{
    for (uint64_t at = number; at < number + pages && at / 8 < bytes; at++)
        if (bits[at / 8] >> at % 8 & 1)
            return true;
    return false;
}

/* The bitmap behind a meta; NULL, and *ret_bytes as it was, if it is damaged or calls free what
 * cannot be. */
static const uint8_t *pager_read_freemap(struct pager *pager, const struct meta *meta,
                                         size_t *ret_bytes)
{
    const uint8_t *page = pager_read(pager, meta->free_map, PAGE_FREE_MAP);
    if (!page)
        return NULL;
    size_t bytes = (size_t)page_run(page) * PAGE_BYTES - PAGE_HEADER_BYTES;
    bytes = bytes < freemap_bytes(meta->pages) ? bytes : freemap_bytes(meta->pages);
    const uint8_t *bits = page + PAGE_HEADER_BYTES;
    if (calls_free(bits, bytes, 0, PAGE_METAS) || calls_free(bits, bytes, meta->root.number, 1) ||
        calls_free(bits, bytes, meta->free_map.number, page_run(page)))
        return NULL;
    *ret_bytes = bytes;
    return bits;
}

/* What the meta before reaches must not be written over while it may still be fallen back to. If
 * its bitmap cannot be had, that may be any page. */
static void pager_load_reusable(struct pager *pager, const struct meta *newest,
                                const struct meta *previous, const uint8_t *bits, size_t bytes)
{
    const uint8_t *old_bits = NULL;
    size_t old_bytes = 0;
    uint8_t *all_in_use = NULL;
    if (previous->transaction && previous->free_map.number) {
        old_bits = pager_read_freemap(pager, previous, &old_bytes);
        if (!old_bits) {
            old_bytes = freemap_bytes(newest->pages);
            old_bits = all_in_use = memory_new_zeroed(1, old_bytes);
        }
    }
    freemap_load(&pager->freemap, newest->pages, bits, bytes, old_bits, old_bytes);
    free(all_in_use);
}

/* A damaged free map is no reason to give up a commit: it follows from the tree. Until that is done
 * (pager_set_free_map) every page counts as in use. */
static void pager_load_freemap(struct pager *pager, const struct meta *newest,
                               const struct meta *previous)
{
    const uint8_t *bits = NULL;
    size_t bytes = 0;
    pager->free_map = (struct page_pin){0};
    freemap_grow(&pager->freemap, newest->pages);
    if (newest->free_map.number)
        bits = pager_read_freemap(pager, newest, &bytes);
    pager->free_map_lost = newest->free_map.number && !bits;
    if (bits) {
        pager->free_map = newest->free_map;
        pager->free_map_pages = page_run(bits - PAGE_HEADER_BYTES);
    }
    pager_load_reusable(pager, newest, previous, bits, bytes);
    if (!pager->free_map_lost)
        pager->damage[0] = '\0';
}

bool pager_free_map_is_lost(const struct pager *pager)
{
    return pager->free_map_lost;
}

void pager_set_free_map(struct pager *pager, const uint8_t *unused)
{
    for (uint64_t at = PAGE_METAS; at < pager->freemap.pages; at++)
        if (unused[at / 8] >> (at % 8) & 1) {
            freemap_leave(&pager->freemap, at, 1);
            freemap_wait(&pager->freemap, at, 1, 0);
        }
    pager->free_map_lost = false;
    pager->damage[0] = '\0';
}

/* Takes `newest` as what is there, if its root is whole. -EBADMSG with the line. */
static int pager_take_meta(struct pager *pager, const struct meta *newest,
                           const struct meta *previous, struct error *error)
{
    freemap_free(&pager->freemap);
    pager_load_freemap(pager, newest, previous);
    if (!pager_read(pager, newest->root, newest->depth == 1 ? PAGE_LEAF : PAGE_BRANCH))
        return error_set(error, -EBADMSG, "%s is damaged: %s", pager->path, pager->damage);
    return 0;
}

/* Transactions of a checkpoint that never committed had the numbers that come next. They are
 * stepped over, by a random even number (the meta's page is chosen by parity), so that a page one
 * of them left behind can never pass for its successor. A file that never grew holds none. */
static int pager_next_transaction(struct pager *pager, uint64_t newest)
{
    uint16_t skip = 0;
    if (pager->file_pages > PAGE_METAS + 1 &&
        getrandom(&skip, sizeof(skip), 0) != (ssize_t)sizeof(skip))
        return -EIO;
    pager->transaction = newest + 1 + 2 * (uint64_t)skip;
    return 0;
}

static int pager_start(struct pager *pager, struct meta *ret_meta, struct error *error)
{
    struct meta newest = {0}, previous = {0};
    uint64_t bytes = 0;
    int code = file_size(pager->fd, &bytes);
    if (code)
        return error_set_errno(error, code, "cannot open %s", pager->path);
    pager->file_pages = bytes / PAGE_BYTES;
    if (pager->file_pages <= PAGE_METAS || bytes > PAGER_FILE_BYTES_MAX)
        return error_set(error, -EBADMSG, "%s is damaged: it has %llu bytes", pager->path,
                         (unsigned long long)bytes);
    code = pager_map(pager, error);
    if (!code)
        code = pager_choose_meta(pager, &newest, &previous, error);
    if (code)
        return code;
    code = pager_take_meta(pager, &newest, &previous, error);
    if (code == -EBADMSG && previous.transaction) { /* one back: its pages were not touched since */
        newest = previous;
        /* What was looked at must fit fewer pages now. */
        memset(pager->checked, 0, freemap_bytes(pager->file_pages));
        code = pager_take_meta(pager, &newest, &(struct meta){0}, error);
    }
    if (!code)
        code = pager_next_transaction(pager, newest.transaction);
    if (code)
        return code;
    pager->committed = newest.transaction;
    pager->committed_pages = newest.pages > previous.pages ? newest.pages : previous.pages;
    pager->build_first = pager->transaction;
    pager->build = 1;
    memcpy(pager->store_id, newest.store_id, sizeof(pager->store_id));
    *ret_meta = newest;
    return 0;
}

/* Opening a FIFO or a device could hang or do worse: looked at first. */
static int pager_check_regular(const char *path, struct error *error)
{
    struct stat status;
    if (stat(path, &status) == 0 && !S_ISREG(status.st_mode))
        return error_set(error, -EBADMSG, "%s is %s, not a file", path,
                         S_ISDIR(status.st_mode) ? "a directory" : "a device, pipe or socket");
    return 0;
}

int pager_open(struct pager **ret_pager, const char *path, bool read_only, struct meta *ret_meta,
               struct error *error)
{
    int code = pager_check_regular(path, error);
    if (code)
        return code;
    struct pager *pager = memory_new_zeroed(1, sizeof(*pager));
    uint64_t bytes = 0;
    snprintf(pager->path, sizeof(pager->path), "%s", path);
    pager->read_only = read_only;
    int flags = read_only ? O_RDONLY : O_RDWR;
    code = file_open("tree.open", path, flags, 0, &pager->fd);
    bool empty = !code && !file_size(pager->fd, &bytes) && bytes == 0;
    if (empty)
        file_close(pager->fd);
    if (!read_only && (code == -ENOENT || empty)) {
        code = pager_create(path, error);
        if (code) {
            free(pager);
            return code;
        }
        code = file_open("tree.open", path, flags, 0, &pager->fd);
    }
    if (code) {
        free(pager);
        return error_set_errno(error, code, "cannot open %s", path);
    }
    code = pager_start(pager, ret_meta, error);
    if (code) {
        pager_close(pager);
        return code;
    }
    *ret_pager = pager;
    return 0;
}

static void frames_free(struct pager *pager, struct frame_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        frame_release(pager, list->frames[i]);
    free(list->frames);
}

void pager_close(struct pager *pager)
{
    if (!pager)
        return;
    views_free(pager);
    frames_free(pager, &pager->made);
    frames_free(pager, &pager->frozen.made);
    (void)pager_give_memory_back(pager, SIZE_MAX);
    pager_unmap(pager);
    file_close(pager->fd);
    freemap_free(&pager->freemap);
    free(pager);
}
