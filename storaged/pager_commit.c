/* A transaction's way to the disk: room is made for it while it is built, it is frozen on the loop
 * thread, written on the worker, thawed on the loop thread. Freezing hands over the list of frames
 * as it is, and thawing can be done in steps: neither costs the loop time that grows with the
 * transaction. */
#include "pager_private.h"

#include "buffer.h"
#include "fault.h"
#include "file.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define GROW_PAGES_MIN 256u /* the file grows by an eighth, within these: this is its headroom */
#define GROW_PAGES_MAX 16384u
#define RELEASE_PAGES 16u /* of the free map, in the time one frame takes */

/* The free map of this transaction: its own run is in use, the last one's is not. The bitmap is
 * copied last, when nothing changes it any more. */
static struct page_pin pager_make_freemap(struct pager *pager)
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

static bool is_no_space(int code)
{
    return code == -ENOSPC || code == -EDQUOT;
}

static uint64_t growth_of(uint64_t pages)
{
    uint64_t step = pages / 8;
    if (step < GROW_PAGES_MIN)
        return GROW_PAGES_MIN;
    return step > GROW_PAGES_MAX ? GROW_PAGES_MAX : step;
}

static bool is_too_long(uint64_t file_pages, uint64_t pages)
{
    return file_pages > pages + 2 * growth_of(pages);
}

/* What neither meta goes past, and more than the headroom, is given back. Nobody counts on it from
 * now on, though the writer cuts it off last. */
static void pager_plan_cut(struct pager *pager)
{
    struct frozen *frozen = &pager->frozen;
    uint64_t kept = frozen->pages > pager->committed_pages ? frozen->pages : pager->committed_pages;
    frozen->cut_pages = 0;
    if (!is_too_long(pager->file_pages, kept))
        return;
    pager->file_pages = frozen->cut_pages = kept + growth_of(kept);
}

void pager_freeze(struct pager *pager, struct meta *meta)
{
    struct frozen *frozen = &pager->frozen;
    assert(!frozen->active && !pager->read_only);
    freemap_trim(&pager->freemap);
    meta->free_map = pager_make_freemap(pager);
    meta->transaction = pager->transaction;
    meta->pages = pager->freemap.pages;
    memcpy(meta->store_id, pager->store_id, sizeof(meta->store_id));
    meta_encode(frozen->meta_page, meta);

    frozen->made = pager->made;
    frozen->bytes = pager->dirty_bytes;
    frozen->transaction = pager->transaction;
    frozen->pages = pager->freemap.pages;
    frozen->file_pages = pager->file_pages;
    pager_plan_cut(pager);
    frozen->resizes = frozen->pages > frozen->file_pages || frozen->cut_pages;
    frozen->active = true;
    frozen->written = false;
    pager->made = (struct frame_list){0};
    pager->made_some = false;
    pager->dirty_bytes = 0;
    pager->transaction++;
    pager->build_first = pager->transaction;
    pager->build++;
}

static int compare_frames(const void *a, const void *b)
{
    const struct frame *const *x = a, *const *y = b;
    return ((*x)->number > (*y)->number) - ((*x)->number < (*y)->number);
}

/* A failed sync says nothing about what is on the disk, so it is never tried again, not even for
 * want of space (invariant 7). */
static int end_of_sync(int code)
{
    return is_no_space(code) ? -EIO : code;
}

/* What lies side by side in the file and goes out in one call. */
struct piece {
    struct iovec parts[FILE_FLOW_BYTES / PAGE_BYTES];
    int count;
    uint64_t offset;
    size_t bytes;
    struct file_flow flow;
};
_Static_assert(FILE_FLOW_BYTES % PAGE_BYTES == 0, "a piece has whole pages");

static int piece_write(struct pager *pager, struct piece *piece)
{
    int code = 0;
    if (piece->count)
        code = file_write_parts_at("tree.page.write", pager->fd, piece->parts, piece->count,
                                   piece->offset);
    if (!code && piece->count)
        code = end_of_sync(
            file_flow("tree.page.flow", pager->fd, &piece->flow, piece->offset, piece->bytes));
    piece->count = 0;
    piece->bytes = 0;
    return code;
}

/* Cuts what is longer than a piece. */
static int piece_add(struct pager *pager, struct piece *piece, struct frame *frame)
{
    uint64_t offset = frame->number * PAGE_BYTES;
    size_t left = (size_t)frame->pages * PAGE_BYTES;
    for (uint8_t *bytes = frame->bytes; left > 0;) {
        bool follows = piece->bytes < FILE_FLOW_BYTES && piece->offset + piece->bytes == offset;
        int code = follows ? 0 : piece_write(pager, piece);
        if (code)
            return code;
        if (!piece->count)
            piece->offset = offset;
        size_t room = FILE_FLOW_BYTES - piece->bytes, part = left < room ? left : room;
        piece->parts[piece->count++] = (struct iovec){bytes, part};
        piece->bytes += part;
        bytes += part;
        offset += part;
        left -= part;
    }
    return 0;
}

/* Not all at once, for raftd's log is on the same disk, and each write waits for its sync. */
static int pager_write_pages(struct pager *pager)
{
    const struct frame_list *made = &pager->frozen.made;
    struct piece piece = {0};
    int code = 0;
    qsort(made->frames, made->count, sizeof(struct frame *), compare_frames);
    for (size_t i = 0; i < made->count && !code; i++) {
        page_seal(made->frames[i]->bytes, made->frames[i]->pages);
        code = piece_add(pager, &piece, made->frames[i]);
    }
    return code ? code : piece_write(pager, &piece);
}

/* Makes the file `pages` long. It leaves none without a block: a write within it finds its room. */
static int lengthen(int fd, uint64_t *file_pages, uint64_t pages)
{
    if (pages <= *file_pages)
        return 0;
    if (pages > PAGER_FILE_PAGES_MAX)
        return -EFBIG;
    int code = file_allocate("tree.grow", fd, *file_pages * PAGE_BYTES,
                             (pages - *file_pages) * PAGE_BYTES);
    if (!code)
        *file_pages = pages;
    return code;
}

int pager_make_room(struct pager *pager, uint64_t pages, bool seek_headroom)
{
    uint64_t used = pager->freemap.pages, growth = growth_of(used), wanted = used + pages;
    if (wanted + growth / 2 <= pager->file_pages) {
        pager->short_of_space = false;
        return 0;
    }
    bool has_room = pages <= pager_room_pages(pager);
    if (pager->frozen.active && pager->frozen.resizes)
        return has_room ? 0 : -EBUSY;
    if (pager->short_of_space && has_room && !seek_headroom)
        return 0;
    int code = lengthen(pager->fd, &pager->file_pages, wanted + growth);
    pager->short_of_space = is_no_space(code);
    if (pager->short_of_space && !has_room)
        code = lengthen(pager->fd, &pager->file_pages, wanted);
    return is_no_space(code) && has_room ? 0 : code;
}

bool pager_may_be_cut(const struct pager *pager)
{
    return is_too_long(pager->file_pages, pager->freemap.pages);
}

static int pager_write_cut(struct pager *pager)
{
    struct frozen *frozen = &pager->frozen;
    if (!frozen->cut_pages)
        return 0;
    int code = file_resize("tree.shrink", pager->fd, frozen->cut_pages * PAGE_BYTES);
    if (!code)
        frozen->file_pages = frozen->cut_pages;
    return code;
}

int pager_write(struct pager *pager)
{
    struct frozen *frozen = &pager->frozen;
    int code = fault_check("tree.write"); /* the whole, however many pieces it has */
    if (!code)                            /* room was made before */
        code = lengthen(pager->fd, &frozen->file_pages, frozen->pages);
    if (!code)
        code = pager_write_pages(pager);
    if (!code)
        code = end_of_sync(file_sync("tree.page.sync", pager->fd));
    if (!code)
        code = file_write_at("tree.meta.write", pager->fd, pager->frozen.meta_page, PAGE_BYTES,
                             pager->frozen.transaction % PAGE_METAS * PAGE_BYTES);
    if (!code)
        code = end_of_sync(file_sync("tree.meta.sync", pager->fd));
    if (!code)
        code = pager_write_cut(pager);
    return code;
}

static void pager_on_written(struct pager *pager)
{
    struct frozen *frozen = &pager->frozen;
    frozen->written = true;
    if (frozen->resizes)
        pager->file_pages = frozen->file_pages;
    pager->committed = frozen->transaction;
    pager->committed_pages = frozen->pages;
    pager->committed_build = pager->build - 1;
    freemap_on_commit(&pager->freemap, pager->committed_build);
}

static bool thaw_frames(struct pager *pager, size_t *pages)
{
    struct frame_list *made = &pager->frozen.made;
    while (made->count > 0 && *pages > 0) {
        struct frame *frame = made->frames[--made->count];
        *pages -= frame->pages < *pages ? frame->pages : *pages;
        pager->frames[frame->number] = NULL;
        pager_checked(pager, frame->number, true);
        frame_release(pager, frame);
    }
    return made->count == 0;
}

bool pager_thaw_some(struct pager *pager, size_t pages)
{
    struct frozen *frozen = &pager->frozen;
    assert(frozen->active);
    if (!frozen->written)
        pager_on_written(pager);
    size_t released = pages < SIZE_MAX / RELEASE_PAGES ? pages * RELEASE_PAGES : SIZE_MAX;
    if (!thaw_frames(pager, &pages) || !freemap_release_some(&pager->freemap, released) ||
        !views_release_some(pager, pages))
        return false;
    free(frozen->made.frames);
    frozen->made = (struct frame_list){0};
    frozen->active = false;
    return true;
}

void pager_thaw(struct pager *pager)
{
    while (!pager_thaw_some(pager, SIZE_MAX))
        ;
}

bool pager_is_frozen(const struct pager *pager)
{
    return pager->frozen.active;
}

uint64_t pager_committed(const struct pager *pager)
{
    return pager->committed;
}

static uint64_t pages_behind(const struct pager *pager)
{
    return pager->file_pages > pager->freemap.pages ? pager->file_pages - pager->freemap.pages : 0;
}

uint64_t pager_room_pages(const struct pager *pager)
{
    return pages_behind(pager) + pager->freemap.reusable_count;
}

uint64_t pager_room_in_runs(const struct pager *pager, uint64_t enough)
{
    uint64_t behind = pages_behind(pager);
    uint32_t run = pager->run_pages_max ? pager->run_pages_max : 1;
    if (behind >= enough)
        return behind;
    return behind + freemap_count_in_runs(&pager->freemap, run, enough - behind);
}

bool pager_is_short_of_space(const struct pager *pager)
{
    return pager->short_of_space;
}
