/* The pager's inside, for its files: pager.c (pages), frames.c (their memory), pager_commit.c
 * (transactions to disk), pager_open.c (the file's first look), and for view.c. Owner: storaged;
 * nobody else includes it.
 *
 * A frame is a changed page or run in memory. `frames` finds it by page number: a plain array over
 * all page numbers a file may have, of which only what is touched takes memory. `made` lists the
 * frames of the transaction being built, and each frame knows its place there, so that a page that
 * is dropped again costs nothing at the commit. */
#pragma once

#include "pager.h"

#define PAGER_FILE_BYTES_MAX (1ull << 40) /* address space only; a larger file is refused */
#define PAGER_FILE_PAGES_MAX (PAGER_FILE_BYTES_MAX / PAGE_BYTES)

struct frame {
    uint64_t number;
    size_t place; /* in the list it is in */
    uint32_t pages;
    struct slab *slab;  /* of a single page */
    struct frame *next; /* among the slab's released ones */
    uint8_t bytes[];
};

struct frame_list {
    struct frame **frames;
    size_t count, capacity;
};

/* What was dropped while a view could still reach it. */
struct held {
    struct page_pin pin;
    uint64_t build; /* in which it was dropped */
    uint32_t pages;
};

struct held_list {
    struct held *runs;
    size_t count, capacity;
    uint64_t pages;   /* as long as the view is open */
    uint64_t view_id; /* whose it was */
    struct held_list *next;
};

struct frozen {
    bool active;
    bool written; /* committed; its frames are being given back */
    uint64_t transaction;
    struct frame_list made; /* the writer sorts it; the loop does not look until it is written */
    uint64_t bytes;
    uint64_t pages;      /* of the file, as its meta says */
    uint64_t file_pages; /* what the file was lengthened to for them */
    uint64_t cut_pages;  /* what the file is cut to once they are written; 0: it is not */
    bool resizes;        /* the writer changes the file's length: the loop must not, meanwhile */
    uint8_t meta_page[PAGE_BYTES];
};

struct pager {
    int fd;
    bool read_only;
    char path[256];
    const uint8_t *map;
    uint64_t transaction;
    uint64_t build_first; /* the first transaction number of the one being built */
    uint64_t build;       /* counts commits begun since the file was opened, from 1 */
    uint64_t committed_build;
    uint64_t committed;
    uint64_t committed_pages; /* of the newest meta on disk */
    uint64_t file_pages;      /* pages the file has room for */
    bool short_of_space;
    uint32_t run_pages_max; /* the longest run made for a value; 0: none yet */
    uint8_t store_id[16];
    struct page_pin free_map;
    uint32_t free_map_pages;
    bool free_map_lost;
    struct freemap freemap;
    uint8_t **frames; /* by page number: the frame's bytes */
    uint8_t *checked; /* a bit by page number: the mapped page was checked */
    struct frame_list made;
    bool made_some;          /* under the current transaction number */
    struct slab *slabs;      /* with room; those that are full are in no list */
    struct slab *slabs_free; /* wholly, and kept for the next pages */
    uint64_t dirty_bytes;
    struct frozen frozen;
    struct view *views; /* newest first */
    unsigned views_count;
    uint64_t view_id_last;
    uint64_t held_pages;
    struct held_list *leaving; /* of closed views, to be looked through */
    char damage[512];
};

/* pager.c */
const uint8_t *pager_fail(struct pager *pager, uint64_t number, const char *what);
void pager_checked(struct pager *pager, uint64_t number, bool value);
struct frame *frame_of(uint8_t *bytes);
/* The frame of a page of the transaction being built, which no view and no meta reaches. */
void pager_forget_frame(struct pager *pager, uint64_t number);
void pager_guard(struct pager *pager);
void pager_unguard(struct pager *pager);

/* frames.c */
struct frame *frame_new(struct pager *pager, uint64_t number, uint32_t pages);
void frame_release(struct pager *pager, struct frame *frame);

/* view.c: whether some open view reaches the dropped page; then it is kept until that is closed. */
bool views_hold(struct pager *pager, struct page_pin pin, uint32_t pages);
/* Looks through up to `count` pages of closed views. True if none is left. */
bool views_release_some(struct pager *pager, size_t count);
void views_free(struct pager *pager);
