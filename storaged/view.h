/* Read views: the tree as it was at one moment, for scans, backups and snapshots that take many
 * turns while writes go on. Owner: storaged.
 *
 * Taking one costs nothing: what is written later is written beside it (copy on write), and a page
 * it can reach is not used again before it is closed. Writers never wait for a view. A view that
 * outlives its deadline, or by which (with all others) more pages are held than LIMIT_VIEWS_HELD
 * allows, is expired: its pages are given up, and its next use is refused with -ESTALE. The oldest
 * goes first.
 *
 * On the loop thread. A view lives until view_close, expired or not. */
#pragma once

#include "tree.h"

struct view_state {
    struct page_pin root;
    uint32_t depth;
    uint64_t keys;
    uint64_t applied_index, applied_term;
    uint8_t state_hash[16];
};

struct view;

/* A view of the tree that `state` describes, which is the pager's newest. `deadline_ms` is of the
 * clock that views_expire is given. -EBUSY: there are LIMIT_VIEWS_MAX open. */
int view_open(struct view **ret_view, struct pager *pager, const struct view_state *state,
              uint64_t deadline_ms);
/* The same for as long as nothing is written: it costs and holds nothing. view_keep, before the
 * tree is changed, makes it last: -EBUSY, it stays as it was. */
struct view *view_glance(struct pager *pager, const struct view_state *state);
int view_keep(struct view *view, uint64_t deadline_ms);
void view_close(struct view *view);
bool view_is_expired(const struct view *view);
const struct view_state *view_state(const struct view *view);
struct pager *view_pager(const struct view *view);

/* Expires the views whose deadline is before `now_ms`. */
void views_expire(struct pager *pager, uint64_t now_ms);
/* All of them: the pager is about to be closed, and view_close may come later. */
void views_expire_all(struct pager *pager);
/* The earliest deadline, UINT64_MAX if no view is open. */
uint64_t views_deadline_ms(const struct pager *pager);
unsigned views_open(const struct pager *pager);
/* Pages kept only for views. */
uint64_t views_held_pages(const struct pager *pager);
