/* The path from the root to the record is kept as pins and slots. A step goes up until a branch has
 * a neighbour on that side, and down its near edge. Leaves below a branch of one child may be
 * empty: they are stepped over. */
#include "cursor.h"

#include <assert.h>
#include <errno.h>

enum direction { BACKWARD, FORWARD };

struct cursor cursor_of(const struct view *view)
{
    const struct view_state *state = view_state(view);
    struct tree tree = {.pager = view_pager(view), .root = state->root, .depth = state->depth};
    return (struct cursor){.view = view, .tree = tree};
}

static const uint8_t *cursor_page(struct cursor *cursor, unsigned level)
{
    return pager_read(cursor->tree.pager, cursor->path.pins[level],
                      level + 1 == cursor->tree.depth ? PAGE_LEAF : PAGE_BRANCH);
}

static int cursor_check(const struct cursor *cursor)
{
    if (view_is_expired(cursor->view))
        return -ESTALE;
    return cursor->tree.depth > TREE_DEPTH_MAX ? -EBADMSG : 0;
}

/* From the page at `level`, whose pin is set, down its first or last records. Leaves the leaf's
 * slot at the edge: 0 or, backward, count - 1 (of an empty leaf: none). */
static int cursor_descend(struct cursor *cursor, unsigned level, enum direction direction)
{
    unsigned leaf = cursor->tree.depth - 1;
    for (;; level++) {
        const uint8_t *page = cursor_page(cursor, level);
        if (!page)
            return -EBADMSG;
        unsigned count = node_count(page);
        cursor->path.slots[level] = direction == FORWARD || count == 0 ? 0 : count - 1;
        if (level == leaf)
            return count ? 0 : CURSOR_END;
        cursor->path.pins[level + 1] = branch_child(page, cursor->path.slots[level]);
    }
}

/* To the edge of the next leaf on that side. */
static int cursor_leaf_beside(struct cursor *cursor, enum direction direction)
{
    unsigned level = cursor->tree.depth - 1;
    while (level > 0) {
        const uint8_t *parent = cursor_page(cursor, --level);
        if (!parent)
            return -EBADMSG;
        unsigned slot = cursor->path.slots[level];
        if (direction == FORWARD ? slot + 1 >= node_count(parent) : slot == 0)
            continue;
        cursor->path.slots[level] = direction == FORWARD ? slot + 1 : slot - 1;
        cursor->path.pins[level + 1] = branch_child(parent, cursor->path.slots[level]);
        int code = cursor_descend(cursor, level + 1, direction);
        if (code != CURSOR_END)
            return code;
        level = cursor->tree.depth - 1; /* an empty leaf: on to the next */
    }
    return CURSOR_END;
}

static int cursor_end_at(struct cursor *cursor, int code)
{
    cursor->placed = code == 0;
    return code;
}

static int cursor_edge(struct cursor *cursor, enum direction direction)
{
    int code = cursor_check(cursor);
    cursor->path.pins[0] = cursor->tree.root;
    if (!code)
        code = cursor_descend(cursor, 0, direction);
    if (code == CURSOR_END)
        code = cursor_leaf_beside(cursor, direction);
    return cursor_end_at(cursor, code);
}

int cursor_first(struct cursor *cursor)
{
    return cursor_edge(cursor, FORWARD);
}

int cursor_last(struct cursor *cursor)
{
    return cursor_edge(cursor, BACKWARD);
}

static int cursor_step(struct cursor *cursor, enum direction direction)
{
    int code = cursor_check(cursor);
    if (code || !cursor->placed)
        return cursor_end_at(cursor, code ? code : CURSOR_END);
    unsigned leaf = cursor->tree.depth - 1;
    unsigned *slot = &cursor->path.slots[leaf];
    const uint8_t *page = cursor_page(cursor, leaf);
    if (!page)
        return cursor_end_at(cursor, -EBADMSG);
    if (direction == FORWARD && *slot + 1 < node_count(page))
        ++*slot;
    else if (direction == BACKWARD && *slot > 0)
        --*slot;
    else
        code = cursor_leaf_beside(cursor, direction);
    return cursor_end_at(cursor, code);
}

int cursor_next(struct cursor *cursor)
{
    return cursor_step(cursor, FORWARD);
}

int cursor_previous(struct cursor *cursor)
{
    return cursor_step(cursor, BACKWARD);
}

/* tree_search leaves the slot of the first key >= key, which may be one past the leaf's last. */
int cursor_seek(struct cursor *cursor, struct node_bytes key, enum cursor_place place)
{
    int code = cursor_check(cursor);
    if (!code)
        code = tree_search(&cursor->tree, key, &cursor->path);
    if (code)
        return cursor_end_at(cursor, code);
    unsigned leaf = cursor->tree.depth - 1;
    unsigned *slot = &cursor->path.slots[leaf];
    bool found = cursor->path.found;
    if (place == CURSOR_AT_OR_AFTER || place == CURSOR_AFTER) {
        const uint8_t *page = cursor_page(cursor, leaf);
        *slot += found && place == CURSOR_AFTER;
        if (*slot >= node_count(page))
            code = cursor_leaf_beside(cursor, FORWARD);
    } else if (!found || place == CURSOR_BEFORE) {
        if (*slot > 0)
            --*slot;
        else
            code = cursor_leaf_beside(cursor, BACKWARD);
    }
    return cursor_end_at(cursor, code);
}

static int cursor_get(struct cursor *cursor, struct tree_record *ret_record,
                      int (*get)(struct tree *, const struct tree_path *, struct tree_record *))
{
    int code = cursor_check(cursor);
    if (code)
        return code;
    return cursor->placed ? get(&cursor->tree, &cursor->path, ret_record) : CURSOR_END;
}

int cursor_load(struct cursor *cursor, struct tree_record *ret_record)
{
    return cursor_get(cursor, ret_record, tree_load);
}

int cursor_peek(struct cursor *cursor, struct tree_record *ret_record)
{
    return cursor_get(cursor, ret_record, tree_peek);
}

int cursor_count(struct cursor *cursor, struct node_bytes until, uint64_t records_max,
                 uint64_t *count)
{
    uint64_t counted = 0;
    int code = cursor_check(cursor);
    if (!code && !cursor->placed)
        code = CURSOR_END;
    while (!code && counted < records_max) {
        unsigned leaf = cursor->tree.depth - 1, from = cursor->path.slots[leaf];
        const uint8_t *page = cursor_page(cursor, leaf);
        if (!page)
            return cursor_end_at(cursor, -EBADMSG);
        unsigned to = node_count(page), end = to;
        bool found;
        if (until.length && node_compare(node_key(page, to - 1), until) >= 0)
            end = leaf_search(page, until, &found);
        counted += end > from ? end - from : 0;
        code = end < to ? CURSOR_END : cursor_leaf_beside(cursor, FORWARD);
    }
    *count += counted;
    return cursor_end_at(cursor, code);
}
