/* The copy-on-write B+tree over the pager: ordered records of key, revision and value. Owner:
 * storaged.
 *
 * Keys are 1 to 1024 arbitrary bytes in memcmp order. Values larger than half a page allows go to
 * overflow runs (page.h). A page is split by bytes when a record does not fit and merged with a
 * neighbour when both fit one page and one is less than a quarter full.
 *
 * -EBADMSG from any call: a damaged page was met; pager_damage says which. The tree may then be
 * half changed: the process must end, the file is as its last commit left it. */
#pragma once

#include "node.h"
#include "pager.h"

#define TREE_DEPTH_MAX                                                                             \
    24u /* with two records to a page at the worst: 2^23 leaves of the largest records */

struct tree {
    struct pager *pager;
    struct page_pin root;
    uint32_t depth; /* 1: the root is a leaf */
};

struct tree_record {
    struct node_bytes key;
    uint64_t revision;
    uint64_t value_hash; /* of an overflow value; 0 for an inline one */
    bool is_overflow;
    struct node_bytes value; /* valid as long as the page it points into (pager_read) */
};

/* Where a key is or would be. Valid until the tree changes. */
struct tree_path {
    struct page_pin pins[TREE_DEPTH_MAX]; /* from the root to the leaf */
    unsigned slots[TREE_DEPTH_MAX];
    bool found;
};

/* Goes down to the key. 0 (see path->found) or -EBADMSG. */
int tree_search(struct tree *tree, struct node_bytes key, struct tree_path *path);
/* The same for several keys at once, each with its own outcome. */
struct tree_search {
    struct node_bytes key;
    struct tree_path path;
    int code; /* as tree_search's */
};
void tree_search_many(struct tree *tree, struct tree_search *searches, unsigned count);
/* The record a path points to, without its value: what a condition or the state hash needs.
 * -EBADMSG. */
int tree_peek(struct tree *tree, const struct tree_path *path, struct tree_record *ret_record);
/* With its value; an overflow run is checked against its hash at its first use. -EBADMSG. */
int tree_load(struct tree *tree, const struct tree_path *path, struct tree_record *ret_record);

/* Writes key, revision and value where a fresh path of tree_search points. *ret_value_hash as in
 * tree_record. */
int tree_put(struct tree *tree, struct tree_path *path, struct node_bytes key, uint64_t revision,
             struct node_bytes value);
/* Removes the record a fresh path points to (path->found). */
int tree_remove(struct tree *tree, struct tree_path *path);

/* Calls `fn` for every record in key order, values included, until it returns non-zero, which is
 * returned. -EBADMSG. */
typedef int tree_visit_fn(void *context, const struct tree_record *record);
int tree_walk(struct tree *tree, tree_visit_fn *fn, void *context);

/* Sets the bit of every page the tree reaches, overflow runs included, in a bitmap of pager_pages
 * bits. -EBADMSG: a damaged page was met, and what is below it is not known. */
int tree_mark(struct tree *tree, uint8_t *bits);

enum tree_outcome {
    TREE_END = 1, /* that was the last leaf */
    TREE_NO_PLACE /* there is no lower place */
};

/* Writes those pages from number `below` on anew that lie on the way to the leaf of key `from`
 * (length 0: the first leaf), the leaf itself and its overflow runs included, so that they take
 * lower places; adds their pages to *moved. `ret_next` (LIMIT_KEY_BYTES_CAP bytes; may be where
 * `from` lies) gets the key to go on with. TREE_END, TREE_NO_PLACE. -EBADMSG: nothing was moved. */
int tree_move_down(struct tree *tree, struct node_bytes from, uint64_t below, uint64_t *moved,
                   uint8_t *ret_next, size_t *ret_next_bytes);

/* Whether such a value goes to an overflow run: a property of the format, the same on every node.
 */
bool tree_value_overflows(size_t key_bytes, size_t value_bytes);
/* How many bytes of `right` it takes to tell it from `left`, which is smaller: the separator. */
size_t tree_separator_bytes(struct node_bytes left, struct node_bytes right);
/* Fills a leaf record (page.h); `run` is where an overflow value was put, NULL for an inline one.
 */
void tree_record_write(uint8_t *record, struct node_bytes key, uint64_t revision,
                       struct node_bytes value, const struct page_pin *run);
/* XXH3-64 of an overflow value. */
uint64_t tree_value_hash(struct node_bytes value);
