/* Builds a whole conure.db from records in key order: full pages, one after the other, each written
 * once. For --load and for snapshots that come in. Owner: storaged.
 *
 * Memory: a page for each level of the tree and a write buffer, whatever is added. The file is made
 * beside `path` (BULK_BESIDE) and has its name only when it is whole and on the disk. On any
 * thread, one call at a time. */
#pragma once

#include "error.h"
#include "tree.h"

struct bulk;

#define BULK_BESIDE ".new" /* behind the path: what a crash may leave */

enum bulk_outcome { BULK_OUT_OF_ORDER = 1 /* the key is not greater than the one before */ };

enum bulk_place { BULK_NEW, BULK_REPLACE /* of the file that has the name */ };

/* Errors, with a line: -EEXIST if it is to be new and `path` is there; else the errno of the call
 * that failed. */
int bulk_begin(struct bulk **ret_bulk, const char *path, enum bulk_place place,
               struct error *error);
/* Key 1 to LIMIT_KEY_BYTES_CAP bytes, value up to LIMIT_VALUE_BYTES_CAP. 0, BULK_OUT_OF_ORDER, or
 * the negative errno of a failed write. */
int bulk_add(struct bulk *bulk, struct node_bytes key, uint64_t revision, struct node_bytes value);

struct bulk_end {
    uint64_t applied_index, applied_term;
    struct node_bytes configuration; /* at most LIMIT_CONFIGURATION_BYTES_MAX */
};
uint64_t bulk_keys(const struct bulk *bulk);
/* The state hash of what was added. */
const uint8_t *bulk_state_hash(const struct bulk *bulk);
/* Writes the rest, syncs and gives the file its name. Frees `bulk` whatever comes of it. Errors,
 * with a line: the errno of the call that failed, and nothing is left of the file; -EIO: the disk
 * or a sync failed, which file has the name is not known (invariant 7). */
int bulk_finish(struct bulk *bulk, const struct bulk_end *end, struct error *error);
/* Gives up: nothing is left of the file. */
void bulk_abandon(struct bulk *bulk);
