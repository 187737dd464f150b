/* A change goes down once, by tree_search, and then makes the path its own from the root down:
 * copying a page gives it a new number, which its parent, already copied, takes over. A leaf
 * without room is split and the key searched again: splits are rare, and a path kept right through
 * them would not be worth its cases. Merges go up along the path.
 *
 * Separators between leaves are the shortest prefix of the right one's first key that is greater
 * than the left one's last. The first record of a branch has an empty key, and merges always move
 * the right page into the left, so that stays true by itself. */
#include "tree.h"

#include <assert.h>
#include <errno.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define MERGE_BELOW_BYTES (PAGE_ROOM_BYTES / 4)

static enum page_type level_type(const struct tree *tree, unsigned level)
{
    return level + 1 == tree->depth ? PAGE_LEAF : PAGE_BRANCH;
}

bool tree_value_overflows(size_t key_bytes, size_t value_bytes)
{
    return leaf_record_bytes(key_bytes, value_bytes) > RECORD_BYTES_MAX;
}

uint64_t tree_value_hash(struct node_bytes value)
{
    return XXH3_64bits(value.bytes, value.length);
}

/* ---- reading ---- */

/* One level of a way down, whose pin is known: the slot there, and the next level's pin. */
static int search_level(struct tree *tree, struct node_bytes key, struct tree_path *path,
                        unsigned level)
{
    const uint8_t *page = pager_read(tree->pager, path->pins[level], level_type(tree, level));
    if (!page)
        return -EBADMSG;
    if (level + 1 == tree->depth) {
        path->slots[level] = leaf_search(page, key, &path->found);
        return 0;
    }
    path->slots[level] = branch_search(page, key);
    path->pins[level + 1] = branch_child(page, path->slots[level]);
    pager_expect(tree->pager, path->pins[level + 1]);
    return 0;
}

int tree_search(struct tree *tree, struct node_bytes key, struct tree_path *path)
{
    int code = tree->depth > TREE_DEPTH_MAX ? -EBADMSG : 0;
    path->pins[0] = tree->root;
    for (unsigned level = 0; level < tree->depth && !code; level++)
        code = search_level(tree, key, path, level);
    return code;
}

/* While one waits for its page, the others go on: in a tree larger than the caches most of a search
 * is waiting. */
void tree_search_many(struct tree *tree, struct tree_search *searches, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        searches[i].code = tree->depth > TREE_DEPTH_MAX ? -EBADMSG : 0;
        searches[i].path.pins[0] = tree->root;
    }
    for (unsigned level = 0; level < tree->depth; level++)
        for (unsigned i = 0; i < count; i++)
            if (!searches[i].code)
                searches[i].code = search_level(tree, searches[i].key, &searches[i].path, level);
}

static const uint8_t *record_behind(const uint8_t *record)
{
    return record + LEAF_RECORD_BYTES + (wire_load_u16(record) & ~LEAF_OVERFLOW);
}

static struct page_pin record_run(const uint8_t *record)
{
    const uint8_t *reference = record_behind(record);
    return (struct page_pin){wire_load_u64(reference), wire_load_u64(reference + 8)};
}

static void record_decode(const uint8_t *at, struct tree_record *record)
{
    const uint8_t *behind = record_behind(at);
    *record = (struct tree_record){
        .key = {at + LEAF_RECORD_BYTES, (size_t)(behind - at) - LEAF_RECORD_BYTES},
        .revision = wire_load_u64(at + 4),
        .is_overflow = wire_load_u16(at) & LEAF_OVERFLOW,
        .value = {behind, wire_load_u16(at + 2)},
    };
    if (record->is_overflow) {
        record->value_hash = wire_load_u64(behind + 16);
        record->value = (struct node_bytes){NULL, wire_load_u32(behind + 24)};
    }
}

/* The run behind an overflow record: its length must be the value's. (Its checksum covers the
 * value; the hash in the record pins the one to the other.) */
static int record_load_value(struct tree *tree, const uint8_t *at, struct tree_record *record)
{
    if (!record->is_overflow)
        return 0;
    const uint8_t *run = pager_read(tree->pager, record_run(at), PAGE_OVERFLOW);
    if (!run || page_run(run) != page_run_of_bytes(record->value.length))
        return -EBADMSG;
    record->value.bytes = run + PAGE_HEADER_BYTES;
    return 0;
}

static const uint8_t *path_record(struct tree *tree, const struct tree_path *path)
{
    const uint8_t *page = pager_read(tree->pager, path->pins[tree->depth - 1], PAGE_LEAF);
    return page ? node_record(page, path->slots[tree->depth - 1]) : NULL;
}

int tree_peek(struct tree *tree, const struct tree_path *path, struct tree_record *ret_record)
{
    const uint8_t *at = path_record(tree, path);
    if (!at)
        return -EBADMSG;
    record_decode(at, ret_record);
    return 0;
}

int tree_load(struct tree *tree, const struct tree_path *path, struct tree_record *ret_record)
{
    const uint8_t *at = path_record(tree, path);
    if (!at)
        return -EBADMSG;
    record_decode(at, ret_record);
    return record_load_value(tree, at, ret_record);
}

static int tree_walk_page(struct tree *tree, struct page_pin pin, unsigned level, tree_visit_fn *fn,
                          void *context)
{
    const uint8_t *page = pager_read(tree->pager, pin, level_type(tree, level));
    if (!page)
        return -EBADMSG;
    int code = 0;
    for (unsigned slot = 0; slot < node_count(page) && !code; slot++) {
        if (level + 1 < tree->depth) {
            code = tree_walk_page(tree, branch_child(page, slot), level + 1, fn, context);
            continue;
        }
        struct tree_record record;
        record_decode(node_record(page, slot), &record);
        code = record_load_value(tree, node_record(page, slot), &record);
        if (!code)
            code = fn(context, &record);
    }
    return code;
}

int tree_walk(struct tree *tree, tree_visit_fn *fn, void *context)
{
    return tree->depth > TREE_DEPTH_MAX ? -EBADMSG
                                        : tree_walk_page(tree, tree->root, 0, fn, context);
}

static void mark_run(uint8_t *bits, uint64_t number, uint32_t pages)
{
    for (uint64_t at = number; at < number + pages; at++)
        bits[at / 8] = (uint8_t)(bits[at / 8] | 1u << at % 8);
}

static int tree_mark_page(struct tree *tree, struct page_pin pin, unsigned level, uint8_t *bits)
{
    const uint8_t *page = pager_read(tree->pager, pin, level_type(tree, level));
    if (!page)
        return -EBADMSG;
    mark_run(bits, pin.number, 1);
    int code = 0;
    for (unsigned slot = 0; slot < node_count(page) && !code; slot++) {
        if (level + 1 < tree->depth) {
            code = tree_mark_page(tree, branch_child(page, slot), level + 1, bits);
            continue;
        }
        struct tree_record record;
        const uint8_t *at = node_record(page, slot);
        record_decode(at, &record);
        code = record_load_value(tree, at, &record);
        if (!code && record.is_overflow)
            mark_run(bits, record_run(at).number, page_run_of_bytes(record.value.length));
    }
    return code;
}

int tree_mark(struct tree *tree, uint8_t *bits)
{
    return tree->depth > TREE_DEPTH_MAX ? -EBADMSG : tree_mark_page(tree, tree->root, 0, bits);
}

/* ---- making the path writable ---- */

/* The page of `level`, whose ancestors are this transaction's already. */
static uint8_t *path_own_level(struct tree *tree, struct tree_path *path, unsigned level)
{
    uint8_t *page = pager_copy(tree->pager, &path->pins[level], level_type(tree, level));
    if (!page)
        return NULL;
    if (level == 0) {
        tree->root = path->pins[0];
        return page;
    }
    uint8_t *parent = pager_copy(tree->pager, &path->pins[level - 1], PAGE_BRANCH);
    assert(parent);
    branch_set_child(parent, path->slots[level - 1], path->pins[level]);
    return page;
}

/* The leaf, with the whole path copied. NULL: damaged. */
static uint8_t *path_own(struct tree *tree, struct tree_path *path)
{
    uint8_t *page = NULL;
    unsigned level = 0;
    while (level < tree->depth &&
           pager_is_own(pager_transaction(tree->pager),
                        path->pins[level])) /* copied earlier: the pins agree */
        level++;
    for (; level < tree->depth; level++) {
        page = path_own_level(tree, path, level);
        if (!page)
            return NULL;
    }
    return page ? page : pager_copy(tree->pager, &path->pins[tree->depth - 1], PAGE_LEAF);
}

/* ---- making room ---- */

/* The first slot of the right page. Ascending keys fill their pages: what is added at the end opens
 * a new page; else half of the bytes goes. */
static unsigned split_place(const uint8_t *page, unsigned slot)
{
    unsigned count = node_count(page);
    bool leaf = page_type(page) == PAGE_LEAF;
    if (slot + !leaf == count)
        return leaf ? count : count - 1;
    size_t half = node_used_bytes(page) / 2, bytes = 0;
    for (unsigned i = 0; i + 1 < count; i++) {
        bytes += node_record_bytes(page, i) + SLOT_BYTES;
        if (bytes > half)
            return i ? i : 1;
    }
    return count - 1;
}

size_t tree_separator_bytes(struct node_bytes left, struct node_bytes right)
{
    size_t i = 0;
    while (i < left.length && i < right.length && left.bytes[i] == right.bytes[i])
        i++;
    assert(i < right.length);
    return i + 1;
}

/* A new root above the old one, so that every page that is split has a parent. */
static void tree_grow(struct tree *tree, struct tree_path *path)
{
    struct page_pin pin;
    uint8_t *root = pager_make(tree->pager, PAGE_BRANCH, 1, &pin);
    uint8_t *record = node_insert(root, 0, BRANCH_RECORD_BYTES, (struct node_bytes){NULL, 0});
    branch_record_write(record, tree->root, (struct node_bytes){NULL, 0});
    assert(tree->depth < TREE_DEPTH_MAX);
    memmove(path->pins + 1, path->pins, tree->depth * sizeof(*path->pins));
    memmove(path->slots + 1, path->slots, tree->depth * sizeof(*path->slots));
    path->pins[0] = pin;
    path->slots[0] = 0;
    tree->root = pin;
    tree->depth++;
}

/* Builds the page and its new right neighbour from what the page held. */
static struct page_pin split_records(struct tree *tree, uint8_t *left, unsigned place)
{
    struct page_pin right_pin;
    enum page_type type = page_type(left);
    uint8_t old[PAGE_BYTES];
    memcpy(old, left, PAGE_BYTES);
    unsigned count = node_count(old);
    uint8_t *right = pager_make(tree->pager, type, 1, &right_pin);
    node_clear(left);
    node_append(left, old, 0, place);
    if (type == PAGE_BRANCH) {
        uint8_t *first = node_insert(right, 0, BRANCH_RECORD_BYTES, (struct node_bytes){NULL, 0});
        branch_record_write(first, branch_child(old, place), (struct node_bytes){NULL, 0});
        place++;
    }
    node_append(right, old, place, count);
    return right_pin;
}

/* Two neighbouring leaves as they were, their records counted through. */
struct leaf_pair {
    uint8_t pages[2][PAGE_BYTES];
    unsigned counts[2];
};

static unsigned pair_count(const struct leaf_pair *pair)
{
    return pair->counts[0] + pair->counts[1];
}

static size_t pair_bytes(const struct leaf_pair *pair, unsigned at)
{
    return (at < pair->counts[0] ? node_record_bytes(pair->pages[0], at)
                                 : node_record_bytes(pair->pages[1], at - pair->counts[0])) +
           SLOT_BYTES;
}

static struct node_bytes pair_key(const struct leaf_pair *pair, unsigned at)
{
    return at < pair->counts[0] ? node_key(pair->pages[0], at)
                                : node_key(pair->pages[1], at - pair->counts[0]);
}

static void pair_append(const struct leaf_pair *pair, uint8_t *into, unsigned first, unsigned last)
{
    unsigned left = pair->counts[0];
    if (first < left)
        node_append(into, pair->pages[0], first, last < left ? last : left);
    if (last > left)
        node_append(into, pair->pages[1], first > left ? first - left : 0, last - left);
}

/* The first record of the right page so that both hold about the same. 0: as they are now is best,
 * or records are too large for it. */
static unsigned pair_place(const struct leaf_pair *pair)
{
    size_t all = node_used_bytes(pair->pages[0]) + node_used_bytes(pair->pages[1]), bytes = 0;
    unsigned place = 0;
    while (place + 1 < pair_count(pair) && bytes + pair_bytes(pair, place) / 2 < all / 2)
        bytes += pair_bytes(pair, place++);
    bool fits = bytes <= PAGE_ROOM_BYTES && all - bytes <= PAGE_ROOM_BYTES;
    return fits && place != pair->counts[0] ? place : 0;
}

/* Shares the records of two neighbouring leaves evenly between them; `slot` is the left one's in
 * the parent. False if nothing was done: there is nothing to gain, or the parent has no room for
 * the new separator. */
static bool leaves_share(uint8_t *parent, unsigned slot, uint8_t *left, uint8_t *right)
{
    struct leaf_pair pair = {.counts = {node_count(left), node_count(right)}};
    memcpy(pair.pages[0], left, PAGE_BYTES);
    memcpy(pair.pages[1], right, PAGE_BYTES);
    unsigned place = pair_place(&pair);
    if (!place)
        return false;
    struct node_bytes separator = pair_key(&pair, place);
    separator.length = tree_separator_bytes(pair_key(&pair, place - 1), separator);
    if (node_used_bytes(parent) - node_record_bytes(parent, slot + 1) + BRANCH_RECORD_BYTES +
            separator.length >
        PAGE_ROOM_BYTES)
        return false;
    struct page_pin right_pin = branch_child(parent, slot + 1);
    node_remove(parent, slot + 1);
    uint8_t *record =
        node_insert(parent, slot + 1, BRANCH_RECORD_BYTES + separator.length, separator);
    branch_record_write(record, right_pin, separator);
    node_clear(left);
    node_clear(right);
    pair_append(&pair, left, 0, place);
    pair_append(&pair, right, place, pair_count(&pair));
    return true;
}

/* Before a leaf is split, a neighbour with a quarter of its room left takes some of its records:
 * random keys then fill pages to four fifths instead of two thirds. False: none could. */
static bool leaf_lean(struct tree *tree, struct tree_path *path, unsigned level, uint8_t *page,
                      uint8_t *parent)
{
    unsigned slot = path->slots[level - 1];
    for (unsigned side = 0; side < 2; side++) {
        bool is_right = side == 0;
        if (is_right ? slot + 1 >= node_count(parent) : slot == 0)
            continue;
        unsigned other_slot = is_right ? slot + 1 : slot - 1;
        struct page_pin pin = branch_child(parent, other_slot);
        const uint8_t *seen = pager_read(tree->pager, pin, PAGE_LEAF);
        if (!seen || node_used_bytes(seen) > PAGE_ROOM_BYTES / 4 * 3 || !node_count(seen))
            continue; /* (a damaged one is met again by whoever needs it) */
        uint8_t *other = pager_copy(tree->pager, &pin, PAGE_LEAF);
        if (!other)
            continue;
        branch_set_child(parent, other_slot, pin);
        if (is_right ? leaves_share(parent, slot, page, other)
                     : leaves_share(parent, other_slot, other, page))
            return true;
    }
    return false;
}

/* Makes room in one page on the path (all this transaction's): that of `level`, or if it has to be
 * split and its parent has no room for one record more, one further up. The path is of no use after
 * that: the caller searches again, and comes back if it still does not fit, this time not to lean.
 * `key` is what will be put. */
static void make_room(struct tree *tree, struct tree_path *path, unsigned level,
                      struct node_bytes key, bool may_lean)
{
    if (level == 0) {
        tree_grow(tree, path);
        level = 1;
    }
    uint8_t *page = pager_copy(tree->pager, &path->pins[level], level_type(tree, level));
    uint8_t *parent = pager_copy(tree->pager, &path->pins[level - 1], PAGE_BRANCH);
    assert(page && parent);
    unsigned place = split_place(page, path->slots[level]);
    bool at_end = place == node_count(page);
    if (may_lean && page_type(page) == PAGE_LEAF && !at_end &&
        leaf_lean(tree, path, level, page, parent))
        return;
    struct node_bytes right_key = at_end ? key : node_key(page, place);
    size_t length = right_key.length;
    if (page_type(page) == PAGE_LEAF)
        length = tree_separator_bytes(node_key(page, place - 1), right_key);
    uint8_t separator[LIMIT_KEY_BYTES_CAP];
    memcpy(separator, right_key.bytes, length);

    struct node_bytes separator_key = {separator, length};
    uint8_t *record = node_insert(parent, path->slots[level - 1] + 1, BRANCH_RECORD_BYTES + length,
                                  separator_key);
    if (!record) {
        make_room(tree, path, level - 1, key, false);
        return;
    }
    branch_record_write(record, split_records(tree, page, place), separator_key);
}

/* ---- put ---- */

/* The run is read first: its number and length come from the disk. -EBADMSG. */
static int record_drop_run(struct tree *tree, const uint8_t *at)
{
    struct tree_record record;
    record_decode(at, &record);
    if (!record.is_overflow)
        return 0;
    if (record_load_value(tree, at, &record) ||
        !pager_may_drop(tree->pager, record_run(at), page_run_of_bytes(record.value.length)))
        return -EBADMSG;
    pager_drop(tree->pager, record_run(at), page_run_of_bytes(record.value.length));
    return 0;
}

void tree_record_write(uint8_t *record, struct node_bytes key, uint64_t revision,
                       struct node_bytes value, const struct page_pin *run)
{
    uint8_t *behind = record + LEAF_RECORD_BYTES + key.length;
    wire_store_u16(record, (uint16_t)(key.length | (run ? LEAF_OVERFLOW : 0)));
    wire_store_u16(record + 2, (uint16_t)(run ? OVERFLOW_REFERENCE_BYTES : value.length));
    wire_store_u64(record + 4, revision);
    memcpy(record + LEAF_RECORD_BYTES, key.bytes, key.length);
    if (run) {
        wire_store_u64(behind, run->number);
        wire_store_u64(behind + 8, run->transaction);
        wire_store_u64(behind + 16, tree_value_hash(value));
        wire_store_u32(behind + 24, (uint32_t)value.length);
    } else if (value.length) {
        memcpy(behind, value.bytes, value.length);
    }
}

/* A place of `record_bytes` for the key, whatever stood there before removed. NULL: damaged. */
static uint8_t *put_place(struct tree *tree, struct tree_path *path, struct node_bytes key,
                          size_t record_bytes)
{
    uint8_t *leaf = path_own(tree, path);
    if (!leaf)
        return NULL;
    unsigned slot = path->slots[tree->depth - 1];
    if (path->found) {
        if (record_drop_run(tree, node_record(leaf, slot)))
            return NULL;
        if (node_record_bytes(leaf, slot) == record_bytes)
            return leaf + (node_record(leaf, slot) - leaf);
        node_remove(leaf, slot);
    }
    for (bool may_lean = true;; may_lean = false) {
        uint8_t *record = node_insert(leaf, slot, record_bytes, key);
        if (record)
            return record;
        make_room(tree, path, tree->depth - 1, key, may_lean);
        if (tree_search(tree, key, path))
            return NULL;
        leaf = path_own(tree, path);
        if (!leaf)
            return NULL;
        slot = path->slots[tree->depth - 1];
    }
}

int tree_put(struct tree *tree, struct tree_path *path, struct node_bytes key, uint64_t revision,
             struct node_bytes value)
{
    struct page_pin run_pin, *run = NULL;
    size_t inline_bytes = value.length;
    if (tree_value_overflows(key.length, value.length)) {
        uint8_t *page =
            pager_make(tree->pager, PAGE_OVERFLOW, page_run_of_bytes(value.length), &run_pin);
        memcpy(page + PAGE_HEADER_BYTES, value.bytes, value.length);
        run = &run_pin;
        inline_bytes = OVERFLOW_REFERENCE_BYTES;
    }
    uint8_t *record = put_place(tree, path, key, leaf_record_bytes(key.length, inline_bytes));
    if (!record)
        return -EBADMSG;
    tree_record_write(record, key, revision, value, run);
    return 0;
}

/* ---- remove ---- */

/* Moves the page right of `slot` in the parent (this transaction's) into the page at `slot`, if
 * both fit one. 0: merged, 1: no room, -EBADMSG. */
static int merge_with_right(struct tree *tree, uint8_t *parent, unsigned slot, enum page_type type)
{
    struct page_pin left_pin = branch_child(parent, slot),
                    right_pin = branch_child(parent, slot + 1);
    const uint8_t *left = pager_read(tree->pager, left_pin, type);
    const uint8_t *right = pager_read(tree->pager, right_pin, type);
    if (!left || !right || !pager_may_drop(tree->pager, left_pin, 1) ||
        !pager_may_drop(tree->pager, right_pin, 1))
        return -EBADMSG;
    struct node_bytes separator = node_key(parent, slot + 1);
    size_t more = type == PAGE_BRANCH ? separator.length : 0;
    if (node_used_bytes(left) + node_used_bytes(right) + more > PAGE_ROOM_BYTES)
        return 1;
    uint8_t *into = pager_copy(tree->pager, &left_pin, type);
    assert(into);
    branch_set_child(parent, slot, left_pin);
    if (type == PAGE_BRANCH) {
        uint8_t *record =
            node_insert(into, node_count(into), BRANCH_RECORD_BYTES + separator.length, separator);
        assert(record);
        branch_record_write(record, branch_child(right, 0), separator);
    }
    node_append(into, right, type == PAGE_BRANCH, node_count(right));
    pager_drop(tree->pager, right_pin, 1);
    node_remove(parent, slot + 1);
    return 0;
}

/* Merges the page of `level` with a neighbour if it has become small. 0: merged, 1: nothing to do,
 * -EBADMSG. */
static int merge_level(struct tree *tree, struct tree_path *path, unsigned level)
{
    enum page_type type = level_type(tree, level);
    const uint8_t *page = pager_read(tree->pager, path->pins[level], type);
    uint8_t *parent = pager_copy(tree->pager, &path->pins[level - 1], PAGE_BRANCH);
    assert(page && parent);
    if (node_used_bytes(page) >= MERGE_BELOW_BYTES)
        return 1;
    unsigned slot = path->slots[level - 1];
    int code = 1;
    if (slot + 1 < node_count(parent))
        code = merge_with_right(tree, parent, slot, type);
    if (code == 1 && slot > 0)
        code = merge_with_right(tree, parent, slot - 1, type);
    return code;
}

/* A root with a single child is one level too many. */
static int tree_shrink(struct tree *tree)
{
    while (tree->depth > 1) {
        const uint8_t *root = pager_read(tree->pager, tree->root, PAGE_BRANCH);
        if (!root)
            return -EBADMSG;
        if (node_count(root) > 1)
            return 0;
        if (!pager_may_drop(tree->pager, tree->root, 1))
            return -EBADMSG;
        struct page_pin old = tree->root;
        tree->root = branch_child(root, 0);
        tree->depth--;
        pager_drop(tree->pager, old, 1);
    }
    return 0;
}

int tree_remove(struct tree *tree, struct tree_path *path)
{
    assert(path->found);
    uint8_t *leaf = path_own(tree, path);
    if (!leaf)
        return -EBADMSG;
    unsigned slot = path->slots[tree->depth - 1];
    if (record_drop_run(tree, node_record(leaf, slot)))
        return -EBADMSG;
    node_remove(leaf, slot);
    for (unsigned level = tree->depth - 1; level > 0; level--) {
        int code = merge_level(tree, path, level);
        if (code < 0)
            return code;
        if (code == 1)
            break;
    }
    return tree_shrink(tree);
}

/* ---- moving down ---- */

/* A page made under this transaction's number stays: it has no better place to be copied to. */
static uint64_t path_misplaced(const struct tree *tree, const struct tree_path *path,
                               uint64_t below)
{
    uint64_t count = 0;
    for (unsigned level = 0; level < tree->depth; level++)
        count += path->pins[level].number >= below &&
                 !pager_is_own(pager_transaction(tree->pager), path->pins[level]);
    return count;
}

/* Pages of the leaf's overflow runs from `below` on. A damaged run stays where it is. */
static uint64_t runs_misplaced(struct tree *tree, const uint8_t *leaf, uint64_t below)
{
    uint64_t count = 0;
    for (unsigned slot = 0; slot < node_count(leaf); slot++) {
        struct tree_record record;
        const uint8_t *at = node_record(leaf, slot);
        record_decode(at, &record);
        if (record.is_overflow && record_run(at).number >= below &&
            record_load_value(tree, at, &record) == 0)
            count += page_run_of_bytes(record.value.length);
    }
    return count;
}

/* The leaf is this transaction's own. */
static void runs_move(struct tree *tree, uint8_t *leaf, uint64_t below)
{
    for (unsigned slot = 0; slot < node_count(leaf); slot++) {
        struct tree_record record;
        struct page_pin made;
        uint8_t *at = leaf + (node_record(leaf, slot) - leaf);
        record_decode(at, &record);
        if (!record.is_overflow)
            continue;
        struct page_pin old = record_run(at);
        uint32_t pages = page_run_of_bytes(record.value.length);
        if (old.number < below || record_load_value(tree, at, &record) ||
            !pager_may_drop(tree->pager, old, pages))
            continue;
        uint8_t *run = pager_make(tree->pager, PAGE_OVERFLOW, pages, &made);
        if (made.number >= old.number) { /* there is no lower place of this length */
            pager_drop(tree->pager, made, pages);
            continue;
        }
        memcpy(run + PAGE_HEADER_BYTES, record.value.bytes, record.value.length);
        uint8_t *reference = at + LEAF_RECORD_BYTES + record.key.length;
        wire_store_u64(reference, made.number);
        wire_store_u64(reference + 8, made.transaction);
        pager_drop(tree->pager, old, pages);
    }
}

/* The first key behind the leaf at the end of the path: the nearest separator to its right. */
static int path_next_leaf(struct tree *tree, const struct tree_path *path, uint8_t *ret_next,
                          size_t *ret_next_bytes)
{
    for (unsigned level = tree->depth - 1; level-- > 0;) {
        const uint8_t *page = pager_read(tree->pager, path->pins[level], PAGE_BRANCH);
        if (!page)
            return -EBADMSG;
        if (path->slots[level] + 1 >= node_count(page))
            continue;
        struct node_bytes key = node_key(page, path->slots[level] + 1);
        memcpy(ret_next, key.bytes, key.length);
        *ret_next_bytes = key.length;
        return 0;
    }
    return TREE_END;
}

int tree_move_down(struct tree *tree, struct node_bytes from, uint64_t below, uint64_t *moved,
                   uint8_t *ret_next, size_t *ret_next_bytes)
{
    struct tree_path path;
    if (tree_search(tree, from, &path))
        return -EBADMSG;
    const uint8_t *leaf = pager_read(tree->pager, path.pins[tree->depth - 1], PAGE_LEAF);
    assert(leaf);
    uint64_t runs = runs_misplaced(tree, leaf, below);
    uint64_t misplaced = path_misplaced(tree, &path, below) + runs;
    if (misplaced) {
        uint8_t *own = path_own(tree, &path);
        assert(own); /* the search has read every page of it */
        if (runs)
            runs_move(tree, own, below);
        *moved += misplaced;
        if (path.pins[tree->depth - 1].number >= below)
            return TREE_NO_PLACE;
    }
    return path_next_leaf(tree, &path, ret_next, ret_next_bytes);
}
