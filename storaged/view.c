/* A dropped page is held by the newest view that can reach it: one that was taken after the page
 * was made. When that view closes, each of its pages goes to the next older view that can reach it,
 * or is free. So a page is in one list at a time, and holding one costs the same however many views
 * are open. (ZFS keeps the blocks of its snapshots by such dead lists.) A closed view's list is
 * looked through in small steps: it may be as long as the tree. */
#include "view.h"

#include "buffer.h"
#include "pager_private.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

struct view {
    struct pager *pager;
    struct view *older;
    uint64_t id;          /* ascending */
    uint64_t transaction; /* pages of it, or older, may be reached */
    uint64_t deadline_ms;
    bool kept;    /* once it is; before that nothing is held for it */
    bool expired; /* and not in the pager's list any more */
    struct view_state state;
    struct held_list *held;
};

/* ---- holding ---- */

static uint64_t views_held_pages_max(const struct pager *pager)
{
    uint64_t used = freemap_used(&pager->freemap);
    uint64_t share = used / LIMIT_VIEWS_HELD_SHARE;
    return share > LIMIT_VIEWS_HELD_PAGES_MIN ? share : LIMIT_VIEWS_HELD_PAGES_MIN;
}

static void held_add(struct held_list *list, struct held run)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity ? list->capacity * 2 : 64;
        list->runs = realloc(list->runs, list->capacity * sizeof(*list->runs));
        if (!list->runs)
            abort();
    }
    list->runs[list->count++] = run;
}

static void view_hold(struct view *view, struct held run)
{
    held_add(view->held, run);
    view->held->pages += run.pages;
    view->pager->held_pages += run.pages;
}

/* Takes the view out of the list; its pages wait to be looked through. */
static void view_leave(struct view *view)
{
    struct pager *pager = view->pager;
    struct view **link = &pager->views;
    while (*link != view)
        link = &(*link)->older;
    *link = view->older;
    pager->views_count--;
    pager->held_pages -= view->held->pages;
    view->held->view_id = view->id;
    view->held->next = pager->leaving;
    pager->leaving = view->held;
    view->held = NULL;
    view->expired = true;
}

static struct view *views_oldest(const struct pager *pager)
{
    struct view *view = pager->views;
    while (view && view->older)
        view = view->older;
    return view;
}

static void views_keep_within(struct pager *pager)
{
    while (pager->views && pager->held_pages > views_held_pages_max(pager))
        view_leave(views_oldest(pager));
}

bool views_hold(struct pager *pager, struct page_pin pin, uint32_t pages)
{
    struct view *view = pager->views;
    if (!view || pin.transaction > view->transaction)
        return false;
    view_hold(view, (struct held){pin, pager->build, pages});
    views_keep_within(pager);
    return true;
}

/* ---- giving back ---- */

/* The newest view older than the one the run was held by that can reach it. */
static struct view *views_next_holder(const struct pager *pager, uint64_t view_id,
                                      uint64_t transaction)
{
    struct view *view = pager->views;
    while (view && view->id >= view_id)
        view = view->older;
    return view && transaction <= view->transaction ? view : NULL;
}

static void held_release(struct pager *pager, const struct held *run)
{
    if (run->pin.transaction >= pager->build_first) { /* on no meta, and not being written */
        pager_forget_frame(pager, run->pin.number);
        freemap_make_reusable(&pager->freemap, run->pin.number, run->pages);
    } else if (run->build < pager->committed_build) {
        freemap_make_reusable(&pager->freemap, run->pin.number, run->pages);
    } else {
        freemap_wait(&pager->freemap, run->pin.number, run->pages, pager->build);
    }
}

bool views_release_some(struct pager *pager, size_t count)
{
    while (pager->leaving && count > 0) {
        struct held_list *list = pager->leaving;
        for (; list->count > 0 && count > 0; count--) {
            struct held run = list->runs[--list->count];
            struct view *holder = views_next_holder(pager, list->view_id, run.pin.transaction);
            if (holder)
                view_hold(holder, run);
            else
                held_release(pager, &run);
        }
        if (list->count > 0)
            break;
        pager->leaving = list->next;
        free(list->runs);
        free(list);
    }
    views_keep_within(pager);
    return !pager->leaving;
}

/* ---- life ---- */

struct view *view_glance(struct pager *pager, const struct view_state *state)
{
    struct view *view = memory_new_zeroed(1, sizeof(*view));
    view->pager = pager;
    view->state = *state;
    return view;
}

int view_keep(struct view *view, uint64_t deadline_ms)
{
    struct pager *pager = view->pager;
    if (pager->views_count == LIMIT_VIEWS_MAX)
        return -EBUSY;
    view->id = ++pager->view_id_last;
    view->transaction = pager_seal_transaction(pager);
    view->deadline_ms = deadline_ms;
    view->held = memory_new_zeroed(1, sizeof(*view->held));
    view->kept = true;
    view->older = pager->views;
    pager->views = view;
    pager->views_count++;
    return 0;
}

int view_open(struct view **ret_view, struct pager *pager, const struct view_state *state,
              uint64_t deadline_ms)
{
    struct view *view = view_glance(pager, state);
    int code = view_keep(view, deadline_ms);
    if (code)
        free(view);
    else
        *ret_view = view;
    return code;
}

void view_close(struct view *view)
{
    if (!view)
        return;
    if (view->kept && !view->expired)
        view_leave(view);
    free(view);
}

void views_expire(struct pager *pager, uint64_t now_ms)
{
    for (struct view *view = pager->views, *older; view; view = older) {
        older = view->older;
        if (view->deadline_ms < now_ms)
            view_leave(view);
    }
}

void views_expire_all(struct pager *pager)
{
    while (pager->views)
        view_leave(pager->views);
}

void views_free(struct pager *pager)
{
    assert(!pager->views); /* they point here */
    while (pager->leaving) {
        struct held_list *list = pager->leaving;
        pager->leaving = list->next;
        free(list->runs);
        free(list);
    }
}

/* ---- state ---- */

bool view_is_expired(const struct view *view)
{
    return view->expired;
}

const struct view_state *view_state(const struct view *view)
{
    return &view->state;
}

struct pager *view_pager(const struct view *view)
{
    return view->pager;
}

uint64_t views_deadline_ms(const struct pager *pager)
{
    uint64_t earliest_ms = UINT64_MAX;
    for (const struct view *view = pager->views; view; view = view->older)
        if (view->deadline_ms < earliest_ms)
            earliest_ms = view->deadline_ms;
    return earliest_ms;
}

unsigned views_open(const struct pager *pager)
{
    return pager->views_count;
}

uint64_t views_held_pages(const struct pager *pager)
{
    return pager->held_pages;
}
