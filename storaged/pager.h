/* Pages of conure.db in memory: clean ones through a map of the file, changed ones in frames.
 * Owner: storaged.
 *
 * One transaction is being built; at most one older is on its way to disk (frozen). A transaction
 * has several numbers if views were taken while it was built: one for what each can see, and the
 * last of them is that of its meta. A page may be written in place only if it was made under the
 * number of now; else pager_copy gives it a new number (copy on write) and frees the old one.
 *
 *   pager_open -> [ pager_read | pager_make | pager_copy | pager_drop ]* -> pager_freeze ->
 * pager_write (worker thread) -> pager_thaw -> ...
 *
 * A page read from the file is checked at its first use after open: checksum, own number, the
 * pinned transaction, its type and, for branches and leaves, the layout. A page that fails is never
 * returned. Everything but pager_write runs on the loop thread. */
#pragma once

#include "error.h"
#include "freemap.h"
#include "meta.h"
#include "page.h"

struct pager;

/* Opens or makes the file; `path` is for its name and messages. On success *ret_meta is the newest
 * valid meta. Errors, with a line: -EBADMSG damaged or no regular file, -EPROTO of another format
 * version, else the errno of the call that failed. Nothing on disk is changed unless the file was
 * missing or of length 0. */
int pager_open(struct pager **ret_pager, const char *path, bool read_only, struct meta *ret_meta,
               struct error *error);
void pager_close(struct pager *pager);
/* For main, before pager_open. When a page of the map cannot be had (the file was cut from outside,
 * the disk fails) the kernel stops the process in the middle of a read with SIGBUS: `on_lost` then
 * gets the line "page 17 of conure.db: ..." and must end the process. It runs as a signal handler,
 * but of a signal that reading the map raised, inside no library call: it may log. Guards the pager
 * opened last. */
void pager_guard_maps(void (*on_lost)(const char *line));

/* The page (or run), valid until the next pager_drop of it, or pager_thaw. NULL: damaged;
 * pager_damage says what. */
const uint8_t *pager_read(struct pager *pager, struct page_pin pin, enum page_type type);
/* The page is read next: what a search looks at first is brought near the CPU at once, not line by
 * line (a pure hint). */
void pager_expect(const struct pager *pager, struct page_pin pin);
/* "page 17 of conure.db: ...", or "" if no damage was met yet. */
const char *pager_damage(const struct pager *pager);
/* Whether this transaction made the page. */
static inline bool pager_is_own(uint64_t transaction, struct page_pin pin)
{
    return pin.transaction == transaction;
}
uint64_t pager_transaction(const struct pager *pager);
/* Counts the commits begun since the file was opened, and the one being built: from 1. */
uint64_t pager_build(const struct pager *pager);
uint64_t pager_pages(const struct pager *pager);
const struct freemap *pager_freemap(const struct pager *pager);

/* After pager_open: the newest transaction's free map is damaged, so every page counts as in use.
 * The bitmap (as in freemap.h, of pager_pages bits) of what its root does not reach mends that. */
bool pager_free_map_is_lost(const struct pager *pager);
void pager_set_free_map(struct pager *pager, const uint8_t *unused);

/* A new page, or run of `pages`, of this transaction; its header is filled in, its last page is
 * zeroed. */
uint8_t *pager_make(struct pager *pager, enum page_type type, uint32_t pages,
                    struct page_pin *ret_pin);
/* The page for writing: itself if this transaction made it, else a copy under a new number, which
 * *pin becomes. NULL: damaged. */
uint8_t *pager_copy(struct pager *pager, struct page_pin *pin, enum page_type type);
/* The next pages and runs made take the lowest places that are free. */
void pager_prefer_front(struct pager *pager);
/* False: the free map calls a page of the run free; pager_damage says which. Ask before a page or
 * run that is not this transaction's is dropped (pager_copy does). */
bool pager_may_drop(struct pager *pager, struct page_pin pin, uint32_t pages);
/* The page or run is not reachable any more. NULL-safe for damaged pages: `pages` is what the
 * parent knows. */
void pager_drop(struct pager *pager, struct page_pin pin, uint32_t pages);

/* Everything made so far stays as it is: what is changed from here on is copied first. Returns the
 * highest transaction number of what is there. For view.c and
 * compact.c. */
uint64_t pager_seal_transaction(struct pager *pager);

/* Bytes of pages of the transaction being built, and of the frozen one until it is written. */
uint64_t pager_dirty_bytes(const struct pager *pager);
uint64_t pager_frozen_bytes(const struct pager *pager);

/* Ends the transaction being built with this meta (whose transaction, pages, free map and store id
 * are filled in here) and begins the next. Not while one is frozen. */
void pager_freeze(struct pager *pager, struct meta *meta);
/* Writes the frozen transaction: pages, sync, meta page, sync (in that order: the meta page must
 * never be on disk before what it points to). On any thread. 0 or the negative errno of the call
 * that failed; -ENOSPC may be tried again, all else must end the process (invariant 7). */
int pager_write(struct pager *pager);
/* After pager_write gave 0: forgets the frozen frames and makes what it may of the freed pages
 * reusable. */
void pager_thaw(struct pager *pager);
/* The same in steps of some `pages`, for a loop that has other work: true once it is through. The
 * transaction counts as committed from the first step on, as frozen until the last. */
bool pager_thaw_some(struct pager *pager, size_t pages);
/* Gives back memory of some `pages` that is kept for the next ones. True if none is left. */
bool pager_give_memory_back(struct pager *pager, size_t pages);
/* The file is longer than its pages and the headroom need: one of the next commits cuts it. */
bool pager_may_be_cut(const struct pager *pager);
/* Before `pages` more are made: lengthens the file if it must, so that a commit always finds the
 * room of what was made (a transaction that does not fit the disk could never be written, and
 * nothing applied behind it would make it smaller). A few more are sought behind them, the
 * headroom; short of space, only if `seek_headroom` says to try again. 0; -ENOSPC, -EBUSY (a commit
 * is cutting the file: soon), or what must end the process. */
int pager_make_room(struct pager *pager, uint64_t pages, bool seek_headroom);
/* The headroom could not be had: the disk is full or nearly so. */
bool pager_is_short_of_space(const struct pager *pager);
/* Pages that can be made without lengthening the file on the disk. */
uint64_t pager_room_pages(const struct pager *pager);
/* The same for runs as long as the longest value put since the file was opened: freed pages that
 * lie apart are no room for them. What is behind the last page, and of those before it not more
 * than makes `enough`. */
uint64_t pager_room_in_runs(const struct pager *pager, uint64_t enough);
bool pager_is_frozen(const struct pager *pager);
/* The transaction the newest meta on disk is of. */
uint64_t pager_committed(const struct pager *pager);
