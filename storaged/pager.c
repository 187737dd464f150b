/* Pages of conure.db for reading and changing. A frame belongs to the transaction its header names.
 * A frozen frame stays in the array until it is thawed, even if its page was dropped: the number
 * cannot be made again before (freemap.h), so the array never holds two. */
#include "pager_private.h"

#include "buffer.h"
#include "node.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define CACHE_LINE_BYTES 64u
#define EXPECT_BYTES 256u /* the header, and the slots of some 35 records */
#define RELEASE_RUNS 4u   /* of closed views, looked through with each page made */

/* ---- frames ---- */

void pager_checked(struct pager *pager, uint64_t number, bool value)
{
    uint8_t bit = (uint8_t)(1u << number % 8);
    if (value)
        pager->checked[number / 8] |= bit;
    else
        pager->checked[number / 8] &= (uint8_t)~bit;
}

struct frame *frame_of(uint8_t *bytes)
{
    return (struct frame *)(bytes - offsetof(struct frame, bytes));
}

static void frames_add(struct frame_list *list, struct frame *frame)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity ? list->capacity * 2 : 1024;
        list->frames = realloc(list->frames, list->capacity * sizeof(struct frame *));
        if (!list->frames)
            abort();
    }
    frame->place = list->count;
    list->frames[list->count++] = frame;
}

void pager_forget_frame(struct pager *pager, uint64_t number)
{
    struct frame *frame = frame_of(pager->frames[number]);
    struct frame *last = pager->made.frames[--pager->made.count];
    assert(frame->number == number);
    pager->made.frames[frame->place] = last;
    last->place = frame->place;
    pager->frames[number] = NULL;
    pager->dirty_bytes -= (uint64_t)frame->pages * PAGE_BYTES;
    frame_release(pager, frame);
}

/* ---- reading ---- */

const uint8_t *pager_fail(struct pager *pager, uint64_t number, const char *what)
{
    snprintf(pager->damage, sizeof(pager->damage), "page %llu of %s: %s",
             (unsigned long long)number, pager->path, what);
    return NULL;
}

static const uint8_t *pager_check_mapped(struct pager *pager, uint64_t number)
{
    const uint8_t *page = pager->map + number * PAGE_BYTES;
    uint32_t run = page_run(page);
    if (run > pager->freemap.pages - number || run > pager->file_pages - number)
        return pager_fail(pager, number, "its run goes past the end of the file");
    if (!page_is_sealed(page, run))
        return pager_fail(pager, number, "its checksum does not match");
    if (page_number(page) != number)
        return pager_fail(pager, number, "it says it is another page");
    enum page_type type = page_type(page);
    if ((type == PAGE_BRANCH || type == PAGE_LEAF) && !node_is_sound(page))
        return pager_fail(pager, number, "its records are not in order");
    pager_checked(pager, number, true);
    return page;
}

/* Committed pages are the file's; only newer ones are looked for among the frames. (While the
 * frames of a commit are being given back, both hold the same.) */
static const uint8_t *pager_find(struct pager *pager, struct page_pin pin)
{
    if (pin.transaction > pager->committed && pager->frames[pin.number])
        return pager->frames[pin.number];
    if (pin.number >= pager->file_pages)
        return pager_fail(pager, pin.number, "it is pointed to, but not in the file");
    if (!(pager->checked[pin.number / 8] >> (pin.number % 8) & 1))
        return pager_check_mapped(pager, pin.number);
    return pager->map + pin.number * PAGE_BYTES;
}

const uint8_t *pager_read(struct pager *pager, struct page_pin pin, enum page_type type)
{
    if (pin.number < PAGE_METAS || pin.number >= pager->freemap.pages)
        return pager_fail(pager, pin.number, "it is pointed to, but not in the file");
    const uint8_t *page = pager_find(pager, pin);
    if (!page)
        return NULL;
    if (page_transaction(page) != pin.transaction)
        return pager_fail(pager, pin.number, "it is of another transaction than its parent says");
    if (page_type(page) != type)
        return pager_fail(pager, pin.number, "it is of another type than its parent says");
    return page;
}

void pager_expect(const struct pager *pager, struct page_pin pin)
{
    if (pin.number >= pager->file_pages || pin.transaction > pager->committed)
        return;
    const uint8_t *page = pager->map + pin.number * PAGE_BYTES;
    for (unsigned at = 0; at < EXPECT_BYTES; at += CACHE_LINE_BYTES)
        __builtin_prefetch(page + at);
}

const char *pager_damage(const struct pager *pager)
{
    return pager->damage;
}

uint64_t pager_transaction(const struct pager *pager)
{
    return pager->transaction;
}

uint64_t pager_build(const struct pager *pager)
{
    return pager->build;
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
    if (guarded && at >= map && at - map < PAGER_FILE_BYTES_MAX) {
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

void pager_guard(struct pager *pager)
{
    guarded = pager;
}

void pager_unguard(struct pager *pager)
{
    if (guarded == pager)
        guarded = NULL;
}

/* ---- making, copying, dropping ---- */

static uint64_t pager_allocate(struct pager *pager, uint32_t pages)
{
    uint64_t number = freemap_take(&pager->freemap, pages);
    if (number)
        return number;
    number = pager->freemap.pages;
    assert(number + pages <= PAGER_FILE_PAGES_MAX);
    freemap_grow(&pager->freemap, number + pages);
    return number;
}

uint8_t *pager_make(struct pager *pager, enum page_type type, uint32_t pages,
                    struct page_pin *ret_pin)
{
    (void)views_release_some(pager, RELEASE_RUNS);
    uint64_t number = pager_allocate(pager, pages);
    struct frame *frame = frame_new(pager, number, pages);
    uint8_t *page = frame->bytes;
    assert(!pager->frames[number]);
    memset(page + (size_t)(pages - 1) * PAGE_BYTES, 0,
           PAGE_BYTES); /* no stray memory goes to disk */
    bool run = type == PAGE_OVERFLOW || type == PAGE_FREE_MAP;
    page_begin(page, type, number, pager->transaction, run ? pages : 0);
    pager->frames[number] = page;
    for (uint32_t i = 0; i < pages; i++)
        pager_checked(pager, number + i, false);
    frames_add(&pager->made, frame);
    pager->made_some = true;
    if (type == PAGE_OVERFLOW && pages > pager->run_pages_max)
        pager->run_pages_max = pages;
    pager->dirty_bytes += (uint64_t)pages * PAGE_BYTES;
    *ret_pin = (struct page_pin){number, pager->transaction};
    return page;
}

void pager_prefer_front(struct pager *pager)
{
    freemap_prefer_front(&pager->freemap);
}

uint8_t *pager_copy(struct pager *pager, struct page_pin *pin, enum page_type type)
{
    const uint8_t *old = pager_read(pager, *pin, type);
    if (!old)
        return NULL;
    if (pager_is_own(pager->transaction, *pin))
        return pager->frames[pin->number];
    if (!pager_may_drop(pager, *pin, 1))
        return NULL;
    struct page_pin made;
    uint8_t *page = pager_make(pager, type, 1, &made);
    memcpy(page + 4, old + 4, 4); /* type and count */
    memcpy(page + 24, old + 24, PAGE_BYTES - 24);
    pager_drop(pager, *pin, 1);
    *pin = made;
    return page;
}

/* A sealed free map may contradict a sealed tree: a disk that lost or swapped whole writes. */
bool pager_may_drop(struct pager *pager, struct page_pin pin, uint32_t pages)
{
    for (uint64_t at = pin.number; at < pin.number + pages; at++) {
        if (!freemap_is_unused(&pager->freemap, at))
            continue;
        (void)pager_fail(pager, at, "it is in use, but the free map calls it free");
        return false;
    }
    return true;
}

void pager_drop(struct pager *pager, struct page_pin pin, uint32_t pages)
{
    freemap_leave(&pager->freemap, pin.number, pages);
    if (views_hold(pager, pin, pages))
        return;
    if (pin.transaction >= pager->build_first) { /* on no meta, and not being written */
        pager_forget_frame(pager, pin.number);
        freemap_make_reusable(&pager->freemap, pin.number, pages);
    } else {
        freemap_wait(&pager->freemap, pin.number, pages, pager->build);
    }
}

uint64_t pager_seal_transaction(struct pager *pager)
{
    if (!pager->made_some)
        return pager->transaction - 1;
    uint64_t sealed = pager->transaction;
    pager->transaction += PAGE_METAS; /* the parity chooses the meta page */
    pager->made_some = false;
    return sealed;
}

uint64_t pager_dirty_bytes(const struct pager *pager)
{
    return pager->dirty_bytes;
}

uint64_t pager_frozen_bytes(const struct pager *pager)
{
    return pager->frozen.active && !pager->frozen.written ? pager->frozen.bytes : 0;
}
