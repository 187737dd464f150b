/* Memory of frames. Single pages come from slabs, each a mapping of its own: what a commit took is
 * given back to the system slab by slab, in steps, and the heap need not be looked through for it
 * (malloc_trim of a large commit takes tens of milliseconds, and the heap's lock). A slab that
 * became free is kept for the next pages until pager_give_memory_back. Runs come from malloc. */
#include "pager_private.h"

#include "buffer.h"

#include <stdlib.h>
#include <sys/mman.h>

#define FRAME_BYTES (sizeof(struct frame) + PAGE_BYTES)
#define SLAB_FRAMES 253u /* a MiB, to the last page */

struct slab {
    struct slab *next, *previous; /* in the pager's list; `previous` only of those in use */
    struct frame *released;
    unsigned used;
    unsigned touched; /* so many from the first on were ever handed out */
    _Alignas(struct frame) uint8_t bytes[SLAB_FRAMES * FRAME_BYTES];
};

_Static_assert(sizeof(struct slab) <= 1u << 20, "a slab ends within its last page");

/* ---- slabs with room ---- */

static void slab_link(struct pager *pager, struct slab *slab)
{
    slab->previous = NULL;
    slab->next = pager->slabs;
    if (slab->next)
        slab->next->previous = slab;
    pager->slabs = slab;
}

static void slab_unlink(struct pager *pager, struct slab *slab)
{
    if (slab->previous)
        slab->previous->next = slab->next;
    else
        pager->slabs = slab->next;
    if (slab->next)
        slab->next->previous = slab->previous;
}

static struct slab *slab_new(void)
{
    void *slab =
        mmap(NULL, sizeof(struct slab), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (slab == MAP_FAILED)
        abort(); /* as memory_new */
    return slab;
}

/* One in use with room; else one that is free, or a new one. */
static struct slab *slab_choose(struct pager *pager)
{
    if (pager->slabs)
        return pager->slabs;
    struct slab *slab = pager->slabs_free;
    if (slab)
        pager->slabs_free = slab->next;
    else
        slab = slab_new();
    slab_link(pager, slab);
    return slab;
}

/* ---- frames ---- */

static struct frame *frame_take(struct pager *pager)
{
    struct slab *slab = slab_choose(pager);
    struct frame *frame = slab->released;
    if (frame)
        slab->released = frame->next;
    else
        frame = (struct frame *)(void *)(slab->bytes + slab->touched++ * FRAME_BYTES);
    if (++slab->used == SLAB_FRAMES)
        slab_unlink(pager, slab);
    frame->slab = slab;
    return frame;
}

struct frame *frame_new(struct pager *pager, uint64_t number, uint32_t pages)
{
    struct frame *frame =
        pages == 1 ? frame_take(pager) : memory_new(sizeof(*frame) + (size_t)pages * PAGE_BYTES);
    frame->number = number;
    frame->pages = pages;
    return frame;
}

void frame_release(struct pager *pager, struct frame *frame)
{
    if (frame->pages > 1) {
        free(frame);
        return;
    }
    struct slab *slab = frame->slab;
    frame->next = slab->released;
    slab->released = frame;
    if (slab->used-- == SLAB_FRAMES)
        slab_link(pager, slab);
    if (slab->used > 0)
        return;
    slab_unlink(pager, slab);
    slab->next = pager->slabs_free;
    pager->slabs_free = slab;
}

bool pager_give_memory_back(struct pager *pager, size_t pages)
{
    while (pager->slabs_free && pages > 0) {
        struct slab *slab = pager->slabs_free;
        pager->slabs_free = slab->next;
        (void)munmap(slab, sizeof(*slab));
        pages -= pages < SLAB_FRAMES ? pages : SLAB_FRAMES;
    }
    return !pager->slabs_free;
}
