/* Frames are found by page number in a plain array: a lookup is one load. A frame belongs to the
 * transaction its header names. A frozen frame stays in the array until it is thawed, unless the
 * page was dropped: it cannot be made again before (freemap.h), so the array never holds two. The
 * list of made pages may name a page twice or name one that is gone; freezing sorts that out. */
#include "pager.h"

#include "buffer.h"
#include "file.h"
#include "node.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAP_BYTES (1ull << 40) /* address space only; a larger file is refused */
#define GROW_PAGES 256u        /* the file grows by this, or an eighth */
#define WRITE_PARTS_MAX 256

struct frozen {
    bool active;
    uint64_t transaction;
    uint64_t *numbers; /* sorted */
    uint8_t **frames;  /* of these numbers: the writer must not look into the pager's own array */
    size_t count;
    uint64_t bytes;
    uint64_t pages;      /* of the file, as its meta says */
    uint64_t file_pages; /* what the file was lengthened to for them */
    uint8_t meta_page[PAGE_BYTES];
};

struct pager {
    int fd;
    bool read_only;
    char path[256];
    const uint8_t *map;
    uint64_t transaction;
    uint64_t committed;
    uint64_t file_pages; /* pages the file has room for */
    uint8_t store_id[16];
    struct page_pin free_map;
    uint32_t free_map_pages;
    struct freemap freemap;
    uint8_t **frames;  /* by page number */
    uint8_t *checked;  /* a bit by page number: the mapped page was checked */
    uint64_t capacity; /* of both */
    uint64_t *made;
    size_t made_count, made_capacity;
    uint64_t dirty_bytes;
    struct frozen frozen;
    char damage[512];
};

/* ---- arrays by page number ---- */

static void pager_reserve(struct pager *pager, uint64_t pages)
{
    if (pages <= pager->capacity)
        return;
    uint64_t capacity = pager->capacity ? pager->capacity : 1024;
    while (capacity < pages)
        capacity *= 2;
    pager->frames = realloc(pager->frames, capacity * sizeof(*pager->frames));
    pager->checked = realloc(pager->checked, freemap_bytes(capacity));
    if (!pager->frames || !pager->checked)
        abort();
    memset(pager->frames + pager->capacity, 0,
           (capacity - pager->capacity) * sizeof(*pager->frames));
    size_t old_bytes = freemap_bytes(pager->capacity);
    memset(pager->checked + old_bytes, 0, freemap_bytes(capacity) - old_bytes);
    pager->capacity = capacity;
}

static void checked_set(struct pager *pager, uint64_t number, bool value)
{
    uint8_t bit = (uint8_t)(1u << number % 8);
    if (value)
        pager->checked[number / 8] |= bit;
    else
        pager->checked[number / 8] &= (uint8_t)~bit;
}

/* ---- reading ---- */

static const uint8_t *pager_fail(struct pager *pager, uint64_t number, const char *what)
{
    snprintf(pager->damage, sizeof(pager->damage), "page %llu of %s: %s",
             (unsigned long long)number, pager->path, what);
    return NULL;
}

static const uint8_t *pager_check_mapped(struct pager *pager, uint64_t number)
{
    const uint8_t *page = pager->map + number * PAGE_BYTES;
    uint32_t run = page_run(page);
    if (run > pager->file_pages - number)
        return pager_fail(pager, number, "its run goes past the end of the file");
    if (!page_is_sealed(page, run))
        return pager_fail(pager, number, "its checksum does not match");
    if (page_number(page) != number)
        return pager_fail(pager, number, "it says it is another page");
    enum page_type type = page_type(page);
    if ((type == PAGE_BRANCH || type == PAGE_LEAF) && !node_is_sound(page))
        return pager_fail(pager, number, "its records are not in order");
    checked_set(pager, number, true);
    return page;
}

const uint8_t *pager_read(struct pager *pager, struct page_pin pin, enum page_type type)
{
    if (pin.number < PAGE_METAS || pin.number >= pager->freemap.pages)
        return pager_fail(pager, pin.number, "it is pointed to, but not in the file");
    const uint8_t *page = pager->frames[pin.number];
    if (!page) {
        if (pin.number >= pager->file_pages)
            return pager_fail(pager, pin.number, "it is pointed to, but not in the file");
        page = pager->map + pin.number * PAGE_BYTES;
        if (!(pager->checked[pin.number / 8] >> (pin.number % 8) & 1))
            page = pager_check_mapped(pager, pin.number);
    }
    if (!page)
        return NULL;
    if (page_transaction(page) != pin.transaction)
        return pager_fail(pager, pin.number, "it is of another transaction than its parent says");
    if (page_type(page) != type)
        return pager_fail(pager, pin.number, "it is of another type than its parent says");
    return page;
}

const char *pager_damage(const struct pager *pager)
{
    return pager->damage;
}

uint64_t pager_transaction(const struct pager *pager)
{
    return pager->transaction;
}

uint64_t pager_pages(const struct pager *pager)
{
    return pager->freemap.pages;
}

const struct freemap *pager_freemap(const struct pager *pager)
{
    return &pager->freemap;
}

/* ---- a map that loses its file ---- */

static struct pager *guarded;
static void (*guarded_on_lost)(const char *line);

static void pager_on_bus_error(int signal_number, siginfo_t *info, void *context)
{
    uintptr_t at = (uintptr_t)info->si_addr, map = guarded ? (uintptr_t)guarded->map : 0;
    (void)context;
    if (guarded && at >= map && at - map < MAP_BYTES) {
        (void)pager_fail(guarded, (at - map) / PAGE_BYTES,
                         "it cannot be read: the file was cut, or the disk fails");
        guarded_on_lost(guarded->damage);
    }
    (void)signal(signal_number, SIG_DFL); /* not the map: let it end the process as ever */
}

void pager_guard_maps(void (*on_lost)(const char *line))
{
    struct sigaction action = {.sa_sigaction = pager_on_bus_error, .sa_flags = SA_SIGINFO};
    guarded_on_lost = on_lost;
    int code = sigaction(SIGBUS, &action, NULL);
    assert(!code);
}

/* ---- making, copying, dropping ---- */

static uint64_t pager_allocate(struct pager *pager, uint32_t pages)
{
    uint64_t number = freemap_take(&pager->freemap, pages);
    if (number)
        return number;
    number = pager->freemap.pages;
    freemap_grow(&pager->freemap, number + pages);
    pager_reserve(pager, number + pages);
    return number;
}

uint8_t *pager_make(struct pager *pager, enum page_type type, uint32_t pages,
                    struct page_pin *ret_pin)
{
    uint64_t number = pager_allocate(pager, pages);
    uint8_t *page = memory_new((size_t)pages * PAGE_BYTES);
    assert(!pager->frames[number]);
    memset(page + (size_t)(pages - 1) * PAGE_BYTES, 0,
           PAGE_BYTES); /* no stray memory goes to disk */
    bool run = type == PAGE_OVERFLOW || type == PAGE_FREE_MAP;
    page_begin(page, type, number, pager->transaction, run ? pages : 0);
    pager->frames[number] = page;
    for (uint32_t i = 0; i < pages; i++)
        checked_set(pager, number + i, false);
    if (pager->made_count == pager->made_capacity) {
        pager->made_capacity = pager->made_capacity ? pager->made_capacity * 2 : 1024;
        pager->made = realloc(pager->made, pager->made_capacity * sizeof(*pager->made));
        if (!pager->made)
            abort();
    }
    pager->made[pager->made_count++] = number;
    pager->dirty_bytes += (uint64_t)pages * PAGE_BYTES;
    *ret_pin = (struct page_pin){number, pager->transaction};
    return page;
}

uint8_t *pager_copy(struct pager *pager, struct page_pin *pin, enum page_type type)
{
    if (!pager_read(pager, *pin, type))
        return NULL;
    if (pager_is_own(pager->transaction, *pin))
        return pager->frames[pin->number];
    struct page_pin made;
    uint8_t *page = pager_make(pager, type, 1, &made);
    const uint8_t *old =
        pager_read(pager, *pin, type); /* again: making a page may have moved the arrays */
    assert(old);
    memcpy(page + 4, old + 4, 4); /* type and count */
    memcpy(page + 24, old + 24, PAGE_BYTES - 24);
    pager_drop(pager, *pin, 1);
    *pin = made;
    return page;
}

void pager_drop(struct pager *pager, struct page_pin pin, uint32_t pages)
{
    bool own = pager_is_own(pager->transaction, pin);
    if (own) {
        free(pager->frames[pin.number]);
        pager->frames[pin.number] = NULL;
        pager->dirty_bytes -= (uint64_t)pages * PAGE_BYTES;
    }
    freemap_give(&pager->freemap, pin.number, pages, pager->transaction, own);
}

uint64_t pager_dirty_bytes(const struct pager *pager)
{
    return pager->dirty_bytes;
}

uint64_t pager_frozen_bytes(const struct pager *pager)
{
    return pager->frozen.active ? pager->frozen.bytes : 0;
}

/* ---- committing ---- */

static int compare_numbers(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* The free map of this transaction: its own run is in use, the last one's is not. The bitmap is
 * copied last, when nothing changes it any more. */
static struct page_pin pager_write_freemap(struct pager *pager)
{
    if (pager->free_map.number)
        pager_drop(pager, pager->free_map, pager->free_map_pages);
    struct page_pin pin;
    /* Making the run may lengthen the file by the run itself. */
    uint32_t run = page_run_of_bytes(freemap_bytes(pager->freemap.pages + 64));
    run = page_run_of_bytes(freemap_bytes(pager->freemap.pages + run + 64));
    uint8_t *page = pager_make(pager, PAGE_FREE_MAP, run, &pin);
    size_t bytes = freemap_bytes(pager->freemap.pages);
    size_t room = (size_t)run * PAGE_BYTES - PAGE_HEADER_BYTES;
    assert(bytes <= room);
    memcpy(page + PAGE_HEADER_BYTES, pager->freemap.unused, bytes);
    memset(page + PAGE_HEADER_BYTES + bytes, 0, room - bytes);
    pager->free_map = pin;
    pager->free_map_pages = run;
    return pin;
}

void pager_freeze(struct pager *pager, struct meta *meta)
{
    struct frozen *frozen = &pager->frozen;
    assert(!frozen->active && !pager->read_only);
    meta->free_map = pager_write_freemap(pager);
    meta->transaction = pager->transaction;
    meta->pages = pager->freemap.pages;
    memcpy(meta->store_id, pager->store_id, sizeof(meta->store_id));
    meta_encode(frozen->meta_page, meta);

    qsort(pager->made, pager->made_count, sizeof(*pager->made), compare_numbers);
    frozen->count = 0;
    for (size_t i = 0; i < pager->made_count; i++) {
        uint64_t number = pager->made[i];
        bool again = frozen->count && pager->made[frozen->count - 1] == number;
        if (!again && pager->frames[number])
            pager->made[frozen->count++] = number;
    }
    frozen->numbers = pager->made;
    pager->made = NULL;
    frozen->frames = memory_new(frozen->count * sizeof(*frozen->frames));
    for (size_t i = 0; i < frozen->count; i++)
        frozen->frames[i] = pager->frames[frozen->numbers[i]];
    pager->made_count = pager->made_capacity = 0;
    frozen->bytes = pager->dirty_bytes;
    frozen->transaction = pager->transaction;
    frozen->pages = pager->freemap.pages;
    frozen->file_pages = pager->file_pages;
    frozen->active = true;
    pager->dirty_bytes = 0;
    pager->transaction++;
}

/* Frames that lie side by side in the file go out in one call. */
static int pager_write_pages(struct pager *pager)
{
    struct frozen *frozen = &pager->frozen;
    size_t at = 0;
    while (at < frozen->count) {
        struct iovec parts[WRITE_PARTS_MAX];
        int count = 0;
        uint64_t first = frozen->numbers[at], next = first;
        while (at < frozen->count && frozen->numbers[at] == next && count < WRITE_PARTS_MAX) {
            uint8_t *page = frozen->frames[at];
            uint32_t run = page_run(page);
            page_seal(page, run);
            parts[count++] = (struct iovec){page, (size_t)run * PAGE_BYTES};
            next += run;
            at++;
        }
        int code =
            file_write_parts_at("tree.page.write", pager->fd, parts, count, first * PAGE_BYTES);
        if (code)
            return code;
    }
    return 0;
}

static int pager_write_growth(struct pager *pager)
{
    struct frozen *frozen = &pager->frozen;
    if (frozen->pages <= frozen->file_pages)
        return 0;
    uint64_t step = frozen->file_pages / 8 > GROW_PAGES ? frozen->file_pages / 8 : GROW_PAGES;
    uint64_t pages = frozen->file_pages + step;
    if (pages < frozen->pages)
        pages = frozen->pages;
    if (pages * PAGE_BYTES > MAP_BYTES)
        return -EFBIG;
    int code = file_resize("tree.grow", pager->fd, pages * PAGE_BYTES);
    if (code)
        return code;
    frozen->file_pages = pages;
    return 0;
}

/* A failed sync says nothing about what is on the disk, so it is never tried again, not even for
 * want of space (invariant 7). */
static int pager_sync(struct pager *pager, const char *point)
{
    int code = file_sync(point, pager->fd);
    return code == -ENOSPC || code == -EDQUOT ? -EIO : code;
}

int pager_write(struct pager *pager)
{
    int code = pager_write_growth(pager);
    if (!code)
        code = pager_write_pages(pager);
    if (!code)
        code = pager_sync(pager, "tree.page.sync");
    if (!code)
        code = file_write_at("tree.meta.write", pager->fd, pager->frozen.meta_page, PAGE_BYTES,
                             pager->frozen.transaction % PAGE_METAS * PAGE_BYTES);
    if (!code)
        code = pager_sync(pager, "tree.meta.sync");
    return code;
}

void pager_thaw(struct pager *pager)
{
    struct frozen *frozen = &pager->frozen;
    assert(frozen->active);
    for (size_t i = 0; i < frozen->count; i++) {
        uint64_t number = frozen->numbers[i];
        free(pager->frames[number]);
        pager->frames[number] = NULL;
        checked_set(pager, number, true);
    }
    free(frozen->numbers);
    free(frozen->frames);
    frozen->numbers = NULL;
    frozen->frames = NULL;
    frozen->active = false;
    pager->file_pages = frozen->file_pages;
    pager->committed = frozen->transaction;
    freemap_on_commit(&pager->freemap, frozen->transaction);
}

bool pager_is_frozen(const struct pager *pager)
{
    return pager->frozen.active;
}

uint64_t pager_committed(const struct pager *pager)
{
    return pager->committed;
}

/* ---- opening ---- */

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

static int pager_map(struct pager *pager, struct error *error)
{
    void *map = mmap(NULL, MAP_BYTES, PROT_READ, MAP_SHARED | MAP_NORESERVE, pager->fd, 0);
    if (map == MAP_FAILED)
        return error_set_errno(error, -errno, "cannot map %s", pager->path);
    (void)madvise(map, MAP_BYTES, MADV_RANDOM);
    pager->map = map;
    guarded = pager;
    return 0;
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

/* The bitmap behind a meta; NULL if it has none. Damage is an error only for the newest. */
static const uint8_t *pager_read_freemap(struct pager *pager, const struct meta *meta,
                                         size_t *ret_bytes)
{
    const uint8_t *page = pager_read(pager, meta->free_map, PAGE_FREE_MAP);
    if (!page)
        return NULL;
    size_t bytes = (size_t)page_run(page) * PAGE_BYTES - PAGE_HEADER_BYTES;
    *ret_bytes = bytes < freemap_bytes(meta->pages) ? bytes : freemap_bytes(meta->pages);
    return page + PAGE_HEADER_BYTES;
}

static int pager_load_freemap(struct pager *pager, const struct meta *newest,
                              const struct meta *previous, struct error *error)
{
    const uint8_t *bits = NULL, *old_bits = NULL;
    size_t bytes = 0, old_bytes = 0;
    freemap_grow(&pager->freemap, newest->pages);
    pager_reserve(pager, newest->pages > previous->pages ? newest->pages : previous->pages);
    if (newest->free_map.number) {
        bits = pager_read_freemap(pager, newest, &bytes);
        if (!bits)
            return error_set(error, -EBADMSG, "%s is damaged: %s", pager->path, pager->damage);
        pager->free_map = newest->free_map;
        pager->free_map_pages = page_run(bits - PAGE_HEADER_BYTES);
    }
    static const uint8_t none[1];
    if (previous->transaction && previous->free_map.number && previous->pages <= newest->pages)
        old_bits = pager_read_freemap(pager, previous, &old_bytes);
    else if (previous->transaction)
        old_bits = none; /* the first transaction has no free page: its first three are in use */
    if (old_bits == none)
        old_bytes = sizeof(none);
    freemap_load(&pager->freemap, newest->pages, bits, bytes, old_bits, old_bytes,
                 newest->transaction);
    pager->damage[0] = '\0';
    return 0;
}

/* Takes `newest` as what is there, if its root and free map are whole. -EBADMSG with the line. */
static int pager_take_meta(struct pager *pager, const struct meta *newest,
                           const struct meta *previous, struct error *error)
{
    freemap_free(&pager->freemap);
    int code = pager_load_freemap(pager, newest, previous, error);
    if (!code && !pager_read(pager, newest->root, newest->depth == 1 ? PAGE_LEAF : PAGE_BRANCH))
        code = error_set(error, -EBADMSG, "%s is damaged: %s", pager->path, pager->damage);
    return code;
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
    if (pager->file_pages <= PAGE_METAS || bytes > MAP_BYTES)
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
        code = pager_take_meta(pager, &newest, &(struct meta){0}, error);
    }
    if (!code)
        code = pager_next_transaction(pager, newest.transaction);
    if (code)
        return code;
    pager->committed = newest.transaction;
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

void pager_close(struct pager *pager)
{
    if (!pager)
        return;
    for (uint64_t number = 0; number < pager->capacity; number++)
        free(pager->frames[number]);
    if (guarded == pager)
        guarded = NULL;
    if (pager->map)
        (void)munmap((void *)(uintptr_t)pager->map, MAP_BYTES);
    file_close(pager->fd);
    freemap_free(&pager->freemap);
    free(pager->frozen.numbers);
    free(pager->frozen.frames);
    free(pager->frames);
    free(pager->checked);
    free(pager->made);
    free(pager);
}
