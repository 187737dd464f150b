/* The store: committed entries go in, keys and values come out, and a checkpoint makes it durable.
 * Owner: storaged.
 *
 * Applying is a pure function of the store's state and the entry (invariant 4): the same entries
 * give the same state, revisions and state hash on every node (invariant 11). Applied index,
 * configuration, keys and state hash are committed together (invariant 5).
 *
 * State hash: the sum modulo 2^128 over all keys of XXH3-128 of { u32 key bytes, u32 value bytes,
 * u64 revision, key, and the value, or of an overflow value its XXH3-64 }. A sum, so it follows
 * each write in constant time and does not depend on the order of keys. */
#pragma once

#include "apply.h"
#include "command.h"
#include "compact.h"
#include "error.h"
#include "history.h"
#include "status.h"
#include "view.h"

/* Bytes of changed pages. At the one share of the pages in use, within bounds, a checkpoint begins;
 * at the other entries wait (BUSY) until one is through. The larger the store, the more it helps to
 * wait: random keys change a leaf each, but the branches above are written once for all of them
 * (10 M keys: 1.5 pages to a put with MIN, 1.1 with MAX). Shares, since what was changed lies in
 * the file two or three times before its old places can be used again (freemap.h): a small store's
 * file should not become several times its size for a slow disk, and three checkpoints' worth is no
 * waste that a compaction should take away (COMPACT_SHARE). */
#define STORE_CHECKPOINT_SHARE 16u
#define STORE_CHECKPOINT_BYTES_MIN (32u << 20)
#define STORE_CHECKPOINT_BYTES_MAX (128u << 20)
#define STORE_FULL_SHARE 4u
#define STORE_FULL_BYTES_MIN (2 * STORE_CHECKPOINT_BYTES_MIN)
#define STORE_FULL_BYTES_MAX (2 * STORE_CHECKPOINT_BYTES_MAX)
uint64_t store_checkpoint_bytes(uint64_t pages_used);
uint64_t store_full_bytes(uint64_t pages_used);
/* At each applied index divisible by this the state hash is remembered, so that nodes which are
 * never at the same index at the same time can be compared. */
#define STORE_MARK_ENTRIES 256u

struct store;

/* Opens or makes the file in the working directory. Errors as pager_open. */
int store_open(struct store **ret_store, const char *path, struct error *error);
void store_close(struct store *store);
/* The name is another file's now: goes on with that, as if it were opened for the first time. All
 * views expire. What was read before is valid until *ret_old is closed (pager_close, on any
 * thread): the pager of the old file, of which nothing may be on its way to the disk. Errors as
 * store_open; the store is as it was. */
int store_reopen(struct store *store, const char *path, struct pager **ret_old,
                 struct error *error);

uint64_t store_applied_index(const struct store *store);
uint64_t store_durable_index(const struct store *store);

/* Applies the entry of index applied + 1. For a command its result is filled in; `*ret_result` is
 * zero for the others. Errors, after which the process must end: -EBADMSG, a damaged page is
 * in the way (store_damage), the entry may be half applied, no checkpoint begins any more;
 * -EMSGSIZE, a configuration over LIMIT_CONFIGURATION_BYTES_MAX, nothing is changed. */
int store_apply(struct store *store, const struct apply_entry *entry,
                struct command_result *ret_result);
/* What a transaction answers (proto/txn.h), if the entry applied last was one; else empty. Until
 * the next store_apply. */
struct node_bytes store_txn_result(const struct store *store);
/* What changed last. An install begins it anew. */
const struct history *store_history(const struct store *store);
/* The newest configuration applied, as raftd gave it; its bytes live until the next store_apply. */
struct node_bytes store_configuration(const struct store *store);

enum store_outcome { STORE_NOT_FOUND = 1 };

/* The record, valid until the next store_apply or store_checkpoint_end. STORE_NOT_FOUND, -EBADMSG.
 */
int store_get(struct store *store, struct node_bytes key, struct tree_record *ret_record);
/* The same for up to STORE_GETS_MAX keys: in a large store in a fraction of the time, since they
 * wait for memory together. */
#define STORE_GETS_MAX 16u
struct store_get {
    struct node_bytes key;
    int code; /* as store_get's */
    struct tree_record record;
};
void store_get_many(struct store *store, struct store_get *gets, unsigned count);

/* A read view of the state as it is now (view.h). -EBUSY: too many are open. */
int store_view(struct store *store, uint64_t deadline_ms, struct view **ret_view);
/* The same as view_glance. */
struct view *store_glance(struct store *store);

const char *store_damage(const struct store *store);
/* Looks at the disk, too. */
void store_fill_status(struct store *store, struct store_status *status);
/* Where the store is, for the answer to APPLY; the status is left alone. */
void store_fill_applied(const struct store *store, struct applied_head *head);
/* Whether the last checkpoint could not be written: the disk is full. */
void store_set_no_space(struct store *store, bool no_space);
/* Before `entries` of `bytes` in all are applied: room for them in the file. As pager_make_room. */
int store_make_room(struct store *store, uint64_t bytes, uint64_t entries);

/* So many bytes of changed pages that entries have to wait. */
bool store_is_full(const struct store *store);
bool store_wants_checkpoint(const struct store *store);
/* Something a commit would put right: entries since the durable index (whether on their way or
 * not), moved pages, free pages that the next commits may cut off the file, headroom that could not
 * be had. */
bool store_has_changes(const struct store *store);
/* A bounded step towards a smaller file (compact.h), if there is room for it among the changed
 * pages. False: nothing to do before the next commit. */
bool store_compact_some(struct store *store, unsigned leaves_max);

/* A checkpoint: begin on the loop thread, write on any, end on the loop thread with write's code.
 * begin returns false if one is under way or nothing changed. After -ENOSPC write may be called
 * again before end; end(0) only ends a written one. */
bool store_checkpoint_begin(struct store *store);
int store_checkpoint_write(struct store *store);
void store_checkpoint_end(struct store *store);
/* end in bounded steps of some `pages` each, for the loop: true once it is through. */
bool store_checkpoint_end_some(struct store *store, size_t pages);
bool store_checkpoint_is_open(const struct store *store);

/* For the checker and tests. */
struct tree *store_tree(struct store *store);
struct pager *store_pager(struct store *store);
void store_hash_add(uint8_t hash[16], const struct tree_record *record);
