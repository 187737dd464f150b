/* Cursors: a place among the records of a read view, both ways, by key bytes. Owner: storaged.
 *
 * A view does not change, so a cursor stays where it is while the tree is written to, over as many
 * turns as its view lives. It holds no memory of its own and needs no closing.
 *
 * Every call: 0 (it stands on a record), CURSOR_END (there is none that way; the cursor must be
 * placed again), -ESTALE (the view is expired), -EBADMSG (a damaged page is in the way:
 * pager_damage says which). */
#pragma once

#include "view.h"

enum cursor_outcome { CURSOR_END = 1 };

enum cursor_place { CURSOR_BEFORE, CURSOR_AT_OR_BEFORE, CURSOR_AT_OR_AFTER, CURSOR_AFTER };

struct cursor {
    const struct view *view;
    struct tree tree;
    struct tree_path path; /* slots[depth - 1] is the record, if `placed` */
    bool placed;
};

struct cursor cursor_of(const struct view *view);
int cursor_first(struct cursor *cursor);
int cursor_last(struct cursor *cursor);
/* To the nearest key on that side of `key`. */
int cursor_seek(struct cursor *cursor, struct node_bytes key, enum cursor_place place);
/* From where it stands; CURSOR_END also if it is not placed. */
int cursor_next(struct cursor *cursor);
int cursor_previous(struct cursor *cursor);

/* The record it stands on; bytes as long as no page is thawed or dropped: not over a turn of the
 * loop. An overflow value is read; cursor_peek leaves it out (value.bytes is NULL). */
int cursor_load(struct cursor *cursor, struct tree_record *ret_record);
int cursor_peek(struct cursor *cursor, struct tree_record *ret_record);

/* Adds to *count the records from where it stands to before `until` (length 0: to the end), whole
 * pages at a time, up to about `records_max` (a page more at most), and goes on to the next. 0:
 * there may be more; CURSOR_END: the range is through. */
int cursor_count(struct cursor *cursor, struct node_bytes until, uint64_t records_max,
                 uint64_t *count);
