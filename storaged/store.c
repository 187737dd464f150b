#include "store_private.h"

#include "buffer.h"
#include "file.h"
#include "limits.h"
#include "message.h"
#include "transaction.h"
#include "txn.h"
#include "watch.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define TXN_RESULT_KEEP_BYTES_MAX (64u << 10)
#define SHRINK_COMMITS 12u /* without an entry or a page moved by compact.h: then there is rest */
#define WAITING_PAGES_MIN 64u /* freed: fewer are not worth a commit even on a full disk */
#define SHRINK_PAGES_MIN 512u /* of free pages: less is not worth a commit */

struct store {
    struct pager *pager;
    struct tree tree;
    uint64_t keys;
    uint64_t applied_index, applied_term;
    uint64_t durable_index, freezing_index;
    uint8_t state_hash[16];
    uint64_t mark_index; /* the newest mark since the file was opened; 0: none */
    uint8_t mark_hash[16];
    uint32_t configuration_bytes;
    uint8_t configuration[LIMIT_CONFIGURATION_BYTES_MAX];
    struct history *history;
    struct buffer txn_result; /* of the entry applied last, if it was a transaction */
    uint64_t checkpoints;
    bool no_space;
    uint64_t disk_free_bytes; /* when it was looked at last: not with each entry */
    bool is_half_applied;     /* an entry failed in the middle: this state is none */
    struct compact compact;
    bool moved;              /* by it, since the last commit was begun */
    unsigned shrink_commits; /* how many commits more may let the file shrink */
};

/* ---- state hash ---- */

struct hash128 {
    uint64_t low, high;
};

static struct hash128 record_hash(const struct tree_record *record)
{
    uint8_t head[16];
    XXH3_state_t state;
    wire_store_u32(head, (uint32_t)record->key.length);
    wire_store_u32(head + 4, (uint32_t)record->value.length);
    wire_store_u64(head + 8, record->revision);
    XXH3_128bits_reset(&state);
    XXH3_128bits_update(&state, head, sizeof(head));
    XXH3_128bits_update(&state, record->key.bytes, record->key.length);
    if (record->is_overflow)
        XXH3_128bits_update(&state, &record->value_hash, sizeof(record->value_hash));
    else
        XXH3_128bits_update(&state, record->value.bytes, record->value.length);
    XXH128_hash_t hash = XXH3_128bits_digest(&state);
    return (struct hash128){hash.low64, hash.high64};
}

static void hash_change(uint8_t hash[16], struct hash128 by, bool add)
{
    unsigned __int128 sum = (unsigned __int128)wire_load_u64(hash + 8) << 64 | wire_load_u64(hash);
    unsigned __int128 value = (unsigned __int128)by.high << 64 | by.low;
    sum = add ? sum + value : sum - value;
    wire_store_u64(hash, (uint64_t)sum);
    wire_store_u64(hash + 8, (uint64_t)(sum >> 64));
}

void store_hash_add(uint8_t hash[16], const struct tree_record *record)
{
    hash_change(hash, record_hash(record), true);
}

/* ---- life ---- */

/* The free map follows from the tree. If that is damaged too, all pages stay in use: nothing that
 * can still be read is written over. */
static void store_rebuild_free_map(struct store *store)
{
    size_t bytes = freemap_bytes(pager_pages(store->pager));
    uint8_t *bits = memory_new_zeroed(1, bytes);
    if (tree_mark(&store->tree, bits) == 0) {
        for (size_t i = 0; i < bytes; i++)
            bits[i] = (uint8_t)~bits[i];
        pager_set_free_map(store->pager, bits);
    }
    free(bits);
}

/* What it does not say is no lack. */
static void store_look_at_disk(struct store *store)
{
    if (file_free_bytes("tree.space", ".", &store->disk_free_bytes))
        store->disk_free_bytes = UINT64_MAX;
}

static int store_load(struct store *store, const char *path, struct error *error)
{
    struct meta meta;
    int code = pager_open(&store->pager, path, false, &meta, error);
    if (code)
        return code;
    store->tree = (struct tree){.pager = store->pager, .root = meta.root, .depth = meta.depth};
    store->keys = meta.keys;
    store->applied_index = store->durable_index = meta.applied_index;
    store->applied_term = meta.applied_term;
    memcpy(store->state_hash, meta.state_hash, sizeof(store->state_hash));
    store->configuration_bytes = meta.configuration_bytes;
    memcpy(store->configuration, meta.configuration, meta.configuration_bytes);
    store_look_at_disk(store);
    if (pager_free_map_is_lost(store->pager))
        store_rebuild_free_map(store);
    return 0;
}

int store_open(struct store **ret_store, const char *path, struct error *error)
{
    struct store *store = memory_new_zeroed(1, sizeof(*store));
    int code = store_load(store, path, error);
    if (code) {
        free(store);
        return code;
    }
    store->history = history_new(store->applied_index);
    *ret_store = store;
    return 0;
}

int store_reopen(struct store *store, const char *path, struct pager **ret_old, struct error *error)
{
    struct store fresh = {.checkpoints = store->checkpoints,
                          .history = store->history,
                          .txn_result = store->txn_result};
    int code = store_load(&fresh, path, error);
    if (code)
        return code;
    views_expire_all(store->pager);
    *ret_old = store->pager;
    *store = fresh;
    history_reset(store->history, store->applied_index);
    return 0;
}

void store_close(struct store *store)
{
    if (!store)
        return;
    pager_close(store->pager);
    history_free(store->history);
    buffer_free(&store->txn_result);
    free(store);
}

/* ---- applying ---- */

static bool condition_holds(const struct command *command, bool exists, uint64_t revision)
{
    switch (command->condition) {
    case COMMAND_ALWAYS:
        return true;
    case COMMAND_IF_REVISION:
        return exists && revision == command->revision;
    case COMMAND_IF_ABSENT:
        return !exists;
    case COMMAND_IF_PRESENT:
        return exists;
    }
    return false;
}

static int apply_put(struct store *store, struct tree_path *path, const struct command *command,
                     uint64_t revision)
{
    struct node_bytes key = {command->key, command->key_bytes};
    struct node_bytes value = {command->value, command->value_bytes};
    struct tree_record record = {.key = key, .value = value, .revision = revision};
    record.is_overflow = tree_value_overflows(key.length, value.length);
    if (record.is_overflow)
        record.value_hash = tree_value_hash(value);
    int code = tree_put(&store->tree, path, key, revision, value);
    if (!code)
        hash_change(store->state_hash, record_hash(&record), true);
    return code;
}

int store_apply_command(struct store *store, const struct command *command, uint64_t index,
                        struct command_result *result)
{
    struct tree_path path;
    struct tree_record old = {0};
    struct node_bytes key = {command->key, command->key_bytes};
    int code = tree_search(&store->tree, key, &path);
    if (!code && path.found)
        code = tree_peek(&store->tree, &path, &old);
    if (code)
        return code;
    bool existed = path.found;
    *result = (struct command_result){.revision = existed ? old.revision : 0, .existed = existed};
    if (!condition_holds(command, existed, old.revision)) {
        result->status = PROTO_STATUS_CONDITION_FAILED;
        return 0;
    }
    if (existed)
        hash_change(store->state_hash, record_hash(&old),
                    false); /* before the page it lies in changes */
    bool put = command->operation == COMMAND_PUT;
    if (put)
        code = apply_put(store, &path, command, index);
    else if (existed)
        code = tree_remove(&store->tree, &path);
    store->keys = store->keys - existed + put;
    result->revision = put ? index : 0;
    if (!code && (put || existed))
        history_add(store->history, index, put ? WATCH_PUT : WATCH_DELETE, key,
                    (struct node_bytes){command->value, command->value_bytes});
    return code;
}

static int apply_configuration(struct store *store, const struct apply_entry *entry)
{
    if (entry->data_bytes > LIMIT_CONFIGURATION_BYTES_MAX)
        return -EMSGSIZE;
    memcpy(store->configuration, entry->data, entry->data_bytes);
    store->configuration_bytes = (uint32_t)entry->data_bytes;
    return 0;
}

static int apply_data(struct store *store, const struct apply_entry *entry, uint64_t index,
                      struct command_result *result)
{
    struct command command;
    if (txn_is_meant(entry->data, entry->data_bytes))
        return transaction_apply(store, index, (struct node_bytes){entry->data, entry->data_bytes},
                                 &store->txn_result);
    if (!command_decode(entry->data, entry->data_bytes, &command))
        return store_apply_command(store, &command, index, result);
    /* Bytes that are no command are an entry like any other: every node refuses them alike. */
    result->status = PROTO_STATUS_BAD_REQUEST;
    return 0;
}

const struct history *store_history(const struct store *store)
{
    return store->history;
}

struct node_bytes store_txn_result(const struct store *store)
{
    return (struct node_bytes){store->txn_result.bytes, store->txn_result.length};
}

int store_apply(struct store *store, const struct apply_entry *entry,
                struct command_result *ret_result)
{
    uint64_t index = store->applied_index + 1;
    struct command_result result = {0};
    int code = 0;
    buffer_clear(&store->txn_result, TXN_RESULT_KEEP_BYTES_MAX);
    if (entry->kind == ENTRY_CONFIGURATION)
        code = apply_configuration(store, entry);
    else if (entry->kind == ENTRY_COMMAND)
        code = apply_data(store, entry, index, &result);
    store->is_half_applied = store->is_half_applied || code == -EBADMSG;
    if (code)
        return code;
    store->applied_index = index;
    store->applied_term = entry->term;
    if (index % STORE_MARK_ENTRIES == 0) {
        store->mark_index = index;
        memcpy(store->mark_hash, store->state_hash, sizeof(store->mark_hash));
    }
    *ret_result = result;
    return 0;
}

int store_get(struct store *store, struct node_bytes key, struct tree_record *ret_record)
{
    struct tree_path path;
    int code = tree_search(&store->tree, key, &path);
    if (code)
        return code;
    return path.found ? tree_load(&store->tree, &path, ret_record) : STORE_NOT_FOUND;
}

void store_get_many(struct store *store, struct store_get *gets, unsigned count)
{
    struct tree_search searches[STORE_GETS_MAX];
    assert(count <= STORE_GETS_MAX);
    for (unsigned i = 0; i < count; i++)
        searches[i].key = gets[i].key;
    tree_search_many(&store->tree, searches, count);
    for (unsigned i = 0; i < count; i++) {
        gets[i].code = searches[i].code;
        if (!gets[i].code)
            gets[i].code = searches[i].path.found
                               ? tree_load(&store->tree, &searches[i].path, &gets[i].record)
                               : STORE_NOT_FOUND;
    }
}

int store_peek(struct store *store, struct node_bytes key, struct tree_record *ret_record)
{
    struct tree_path path;
    int code = tree_search(&store->tree, key, &path);
    if (code)
        return code;
    return path.found ? tree_peek(&store->tree, &path, ret_record) : STORE_NOT_FOUND;
}

static struct view_state store_view_state(const struct store *store)
{
    struct view_state state = {
        .root = store->tree.root,
        .depth = store->tree.depth,
        .keys = store->keys,
        .applied_index = store->applied_index,
        .applied_term = store->applied_term,
    };
    memcpy(state.state_hash, store->state_hash, sizeof(state.state_hash));
    return state;
}

int store_view(struct store *store, uint64_t deadline_ms, struct view **ret_view)
{
    struct view_state state = store_view_state(store);
    return view_open(ret_view, store->pager, &state, deadline_ms);
}

struct view *store_glance(struct store *store)
{
    struct view_state state = store_view_state(store);
    return view_glance(store->pager, &state);
}

/* ---- state ---- */

struct node_bytes store_configuration(const struct store *store)
{
    return (struct node_bytes){store->configuration, store->configuration_bytes};
}

uint64_t store_applied_index(const struct store *store)
{
    return store->applied_index;
}

uint64_t store_durable_index(const struct store *store)
{
    return store->durable_index;
}

const char *store_damage(const struct store *store)
{
    return pager_damage(store->pager);
}

void store_set_no_space(struct store *store, bool no_space)
{
    store->no_space = no_space;
}

/* Pages of the free map, and of what moves when the tree grows. */
static uint64_t pages_of_commit(const struct store *store)
{
    return freemap_bytes(pager_pages(store->pager)) / PAGE_BYTES + 64;
}

/* Each entry changes a leaf at least, which may split. */
int store_make_room(struct store *store, uint64_t bytes, uint64_t entries)
{
    uint64_t pages = bytes / PAGE_BYTES * 5 / 4 + entries + pages_of_commit(store);
    uint64_t behind = pager_room_in_runs(store->pager, 0);
    int code = pager_make_room(store->pager, pages, false);
    if (pager_room_in_runs(store->pager, 0) != behind)
        store_look_at_disk(store);
    return code;
}

/* What the file can take, and the disk behind it. Once the disk has refused, what it says to have
 * free is not believed (quotas, other users). A value that found no run would lengthen the file on
 * a disk that has nothing left, and then no commit would fit any more. */
static uint64_t store_room_bytes(const struct store *store)
{
    uint64_t enough = LIMIT_DISK_RESERVE_BYTES;
    uint64_t free_bytes = pager_is_short_of_space(store->pager) ? 0 : store->disk_free_bytes;
    uint64_t behind = pager_room_in_runs(store->pager, 0) * PAGE_BYTES;
    if (behind >= enough || free_bytes >= enough)
        return enough;
    if (behind + free_bytes >= enough)
        return behind + free_bytes;
    return free_bytes + pager_room_in_runs(store->pager, enough / PAGE_BYTES) * PAGE_BYTES;
}

static uint64_t store_unwritten_bytes(const struct store *store)
{
    return pager_dirty_bytes(store->pager) + pager_frozen_bytes(store->pager);
}

static uint16_t store_health(const struct store *store)
{
    if (store_damage(store)[0])
        return PROTO_STATUS_DAMAGED;
    return store->no_space || store_room_bytes(store) < LIMIT_DISK_RESERVE_BYTES
               ? PROTO_STATUS_NO_SPACE
               : PROTO_STATUS_OK;
}

void store_fill_applied(const struct store *store, struct applied_head *head)
{
    head->applied_index = store->applied_index;
    head->durable_index = store->durable_index;
    head->health = store_health(store);
    memcpy(head->state_hash, store->state_hash, sizeof(head->state_hash));
    head->mark_index = store->mark_index;
    memcpy(head->mark_hash, store->mark_hash, sizeof(head->mark_hash));
}

void store_fill_status(struct store *store, struct store_status *status)
{
    const char *damage = store_damage(store);
    store_look_at_disk(store);
    *status = (struct store_status){
        .health = store_health(store),
        .applied_index = store->applied_index,
        .applied_term = store->applied_term,
        .durable_index = store->durable_index,
        .keys = store->keys,
        .file_bytes = pager_pages(store->pager) * PAGE_BYTES,
        .dirty_bytes = store_unwritten_bytes(store),
        .checkpoints = store->checkpoints,
    };
    memcpy(status->state_hash, store->state_hash, sizeof(status->state_hash));
    if (status->health == PROTO_STATUS_DAMAGED)
        strncpy(status->health_text, damage, sizeof(status->health_text) - 1);
    else if (status->health == PROTO_STATUS_NO_SPACE)
        strcpy(status->health_text, store->no_space
                                        ? "no space left for a checkpoint"
                                        : "no space left on the disk but what is kept for deletes");
}

/* On a full disk what is changed must fit the room the file has: a quarter of it for each commit,
 * because what a commit frees is had again only two later. */
static uint64_t store_dirty_bytes_max(const struct store *store, uint64_t limit, unsigned share)
{
    if (!pager_is_short_of_space(store->pager))
        return limit;
    uint64_t room = pager_room_pages(store->pager) * PAGE_BYTES / share;
    return room < limit ? room : limit;
}

static uint64_t share_within(uint64_t bytes, uint64_t share, uint64_t min, uint64_t max)
{
    bytes /= share;
    if (bytes < min)
        return min;
    return bytes < max ? bytes : max;
}

_Static_assert(STORE_CHECKPOINT_SHARE > 3 * COMPACT_SHARE,
               "what three checkpoints leave behind is used again, not compacted");

uint64_t store_checkpoint_bytes(uint64_t pages_used)
{
    return share_within(pages_used * PAGE_BYTES, STORE_CHECKPOINT_SHARE, STORE_CHECKPOINT_BYTES_MIN,
                        STORE_CHECKPOINT_BYTES_MAX);
}

uint64_t store_full_bytes(uint64_t pages_used)
{
    return share_within(pages_used * PAGE_BYTES, STORE_FULL_SHARE, STORE_FULL_BYTES_MIN,
                        STORE_FULL_BYTES_MAX);
}

bool store_is_full(const struct store *store)
{
    uint64_t limit = store_full_bytes(freemap_used(pager_freemap(store->pager)));
    return store_unwritten_bytes(store) >= store_dirty_bytes_max(store, limit, 2);
}

/* There is little room, and freed pages that the next commit, or the one behind it, makes usable.
 */
static bool store_waits_for_pages(const struct store *store)
{
    const struct freemap *map = pager_freemap(store->pager);
    uint64_t usable = map->reusable_count + views_held_pages(store->pager);
    return map->unused_count > usable + WAITING_PAGES_MIN &&
           store_room_bytes(store) < LIMIT_DISK_RESERVE_BYTES;
}

bool store_wants_checkpoint(const struct store *store)
{
    uint64_t limit = store_checkpoint_bytes(freemap_used(pager_freemap(store->pager)));
    return store_waits_for_pages(store) ||
           pager_dirty_bytes(store->pager) >= store_dirty_bytes_max(store, limit, 4);
}

/* Pages are free two commits after they were freed, and cut off the file by the next. */
static bool store_may_shrink(const struct store *store)
{
    const struct freemap *map = pager_freemap(store->pager);
    uint64_t used = freemap_used(map);
    return store->shrink_commits > 0 &&
           (map->unused_count > used / COMPACT_SHARE + SHRINK_PAGES_MIN ||
            pager_may_be_cut(store->pager));
}

bool store_has_changes(const struct store *store)
{
    return store->applied_index > store->durable_index || store->moved || store_may_shrink(store) ||
           pager_is_short_of_space(store->pager) || store_waits_for_pages(store);
}

bool store_compact_some(struct store *store, unsigned leaves_max)
{
    if (!store->shrink_commits || store_wants_checkpoint(store) || store_damage(store)[0])
        return false;
    uint64_t before = pager_dirty_bytes(store->pager);
    int code = compact_step(&store->compact, &store->tree, leaves_max);
    store->moved = store->moved || pager_dirty_bytes(store->pager) > before;
    return code == 0;
}

/* ---- checkpoints ---- */

bool store_checkpoint_begin(struct store *store)
{
    if (pager_is_frozen(store->pager) || !store_has_changes(store) || store->is_half_applied)
        return false; /* the last: it must not get onto the disk (invariant 5) */
    (void)pager_make_room(store->pager, pages_of_commit(store), true); /* if not, the write tells */
    store_look_at_disk(store);
    struct meta meta = {
        .root = store->tree.root,
        .depth = store->tree.depth,
        .keys = store->keys,
        .applied_index = store->applied_index,
        .applied_term = store->applied_term,
        .configuration_bytes = store->configuration_bytes,
    };
    memcpy(meta.state_hash, store->state_hash, sizeof(meta.state_hash));
    memcpy(meta.configuration, store->configuration, store->configuration_bytes);
    if (store->applied_index > store->durable_index)
        store->shrink_commits = SHRINK_COMMITS;
    else if (store->shrink_commits > 0 && !(store->compact.active && store->moved)) {
        if (store->shrink_commits == SHRINK_COMMITS)
            compact_retry(&store->compact); /* writes, which made rounds fruitless, have ceased */
        store->shrink_commits--;
    }
    store->moved = false;
    pager_freeze(store->pager, &meta);
    store->freezing_index = store->applied_index;
    return true;
}

int store_checkpoint_write(struct store *store)
{
    return pager_write(store->pager);
}

bool store_checkpoint_end_some(struct store *store, size_t pages)
{
    bool through = pager_thaw_some(store->pager, pages);
    store->durable_index = store->freezing_index;
    store->checkpoints += through;
    return through;
}

void store_checkpoint_end(struct store *store)
{
    while (!store_checkpoint_end_some(store, SIZE_MAX))
        ;
}

bool store_checkpoint_is_open(const struct store *store)
{
    return pager_is_frozen(store->pager);
}

struct tree *store_tree(struct store *store)
{
    return &store->tree;
}

struct pager *store_pager(struct store *store)
{
    return store->pager;
}
