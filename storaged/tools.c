#include "tools.h"

#include "buffer.h"
#include "bulk.h"
#include "lines.h"
#include "store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WRITE_BYTES (1u << 20)
#define PROGRESS_RECORDS 65536u
/* Every byte of the largest key and value as an escape of six, and the names around them. */
#define LINE_BYTES_MAX (6u * (LIMIT_VALUE_BYTES_CAP + LIMIT_KEY_BYTES_CAP) + 256u)

static int open_tree(const char *path, struct tree *tree, struct meta *meta, struct error *error)
{
    int code = pager_open(&tree->pager, path, true, meta, error);
    if (!code) {
        tree->root = meta->root;
        tree->depth = meta->depth;
    }
    return code;
}

/* ---- --dump ---- */

struct dump {
    FILE *out;
    struct buffer lines;
    uint64_t count, keys;
    tools_progress_fn *progress;
    void *context;
};

static int dump_flush(struct dump *dump)
{
    size_t written = fwrite(dump->lines.bytes, 1, dump->lines.length, dump->out);
    int code = written == dump->lines.length ? 0 : -EIO;
    buffer_clear(&dump->lines, 2 * WRITE_BYTES);
    return code;
}

static int dump_record(void *context, const struct tree_record *record)
{
    struct dump *dump = context;
    lines_add_record(&dump->lines, record);
    if (++dump->count % PROGRESS_RECORDS == 0 && dump->progress)
        dump->progress(dump->context, dump->count, dump->keys);
    return dump->lines.length >= WRITE_BYTES ? dump_flush(dump) : 0;
}

int tools_dump(const char *path, FILE *out, tools_progress_fn *progress, void *context,
               struct error *error)
{
    struct tree tree = {0};
    struct meta meta;
    int code = open_tree(path, &tree, &meta, error);
    if (code)
        return code;
    struct dump dump = {.out = out, .keys = meta.keys, .progress = progress, .context = context};
    code = tree_walk(&tree, dump_record, &dump);
    if (!code)
        lines_add_end(&dump.lines, dump.count, meta.applied_index);
    int written = dump_flush(&dump); /* what could be read, too */
    if (code == -EBADMSG)
        code = error_set(error, TOOLS_CUT, "%s", pager_damage(tree.pager));
    else if (code || written || fflush(out))
        code = error_set(error, TOOLS_CUT, "cannot write: %s", strerror(errno));
    buffer_free(&dump.lines);
    pager_close(tree.pager);
    return code;
}

/* ---- --load ---- */

struct load {
    FILE *in;
    struct bulk *bulk;
    char *text; /* getline's */
    size_t text_bytes;
    uint64_t number; /* of the line */
    struct line end;
    tools_progress_fn *progress;
    void *context;
};

static int load_wrong(const struct load *load, const char *why, struct error *error)
{
    return error_set(error, TOOLS_CUT, "line %llu: %s", (unsigned long long)load->number, why);
}

static int load_line(struct load *load, size_t length, struct error *error)
{
    struct line line;
    const char *why;
    if (length > LINE_BYTES_MAX)
        return load_wrong(load, "it is too long", error);
    if (line_parse((uint8_t *)load->text, length, &line, &why))
        return load_wrong(load, why, error);
    if (load->end.is_end)
        return load_wrong(load, "it comes after the end", error);
    if (line.is_end) {
        load->end = line;
        return 0;
    }
    int code = bulk_add(load->bulk, line.key, line.revision, line.value);
    if (code == BULK_OUT_OF_ORDER)
        return load_wrong(load, "its key is not greater than the one before", error);
    if (code)
        return error_set_errno(error, code, "cannot write");
    if (load->number % PROGRESS_RECORDS == 0 && load->progress)
        load->progress(load->context, load->number, 0);
    return 0;
}

static int load_lines(struct load *load, struct error *error)
{
    ssize_t length;
    while ((length = getline(&load->text, &load->text_bytes, load->in)) >= 0) {
        load->number++;
        int code = load_line(load, (size_t)length, error);
        if (code)
            return code;
    }
    if (ferror(load->in))
        return error_set(error, TOOLS_CUT, "cannot read: %s", strerror(errno));
    if (!load->end.is_end)
        return error_set(error, TOOLS_CUT, "the end is missing: the input was cut after line %llu",
                         (unsigned long long)load->number);
    if (load->end.count != bulk_keys(load->bulk))
        return error_set(error, TOOLS_CUT, "%llu records came, the end says %llu",
                         (unsigned long long)bulk_keys(load->bulk),
                         (unsigned long long)load->end.count);
    return 0;
}

int tools_load(const char *path, FILE *in, tools_progress_fn *progress, void *context,
               struct error *error)
{
    struct load load = {.in = in, .progress = progress, .context = context};
    int code = bulk_begin(&load.bulk, path, BULK_NEW, error);
    if (code)
        return code;
    code = load_lines(&load, error);
    free(load.text);
    if (code) {
        bulk_abandon(load.bulk);
        return code;
    }
    struct bulk_end end = {.applied_index = load.end.revision};
    return bulk_finish(load.bulk, &end, error);
}

/* ---- --stat ---- */

struct counts {
    uint64_t branches, leaves, overflow_pages, overflow_values;
    uint64_t leaf_used_bytes, key_bytes, value_bytes;
};

static int count_page(struct tree *tree, struct page_pin pin, unsigned level, struct counts *counts)
{
    bool is_leaf = level + 1 == tree->depth;
    const uint8_t *page = pager_read(tree->pager, pin, is_leaf ? PAGE_LEAF : PAGE_BRANCH);
    if (!page)
        return -EBADMSG;
    int code = 0;
    counts->branches += !is_leaf;
    counts->leaves += is_leaf;
    counts->leaf_used_bytes += is_leaf ? node_used_bytes(page) : 0;
    for (unsigned slot = 0; slot < node_count(page) && !code; slot++) {
        if (!is_leaf) {
            code = count_page(tree, branch_child(page, slot), level + 1, counts);
            continue;
        }
        struct tree_path path = {.found = true};
        struct tree_record record;
        path.pins[level] = pin;
        path.slots[level] = slot;
        code = tree_peek(tree, &path, &record);
        counts->key_bytes += record.key.length;
        counts->value_bytes += record.value.length;
        counts->overflow_values += record.is_overflow;
        counts->overflow_pages += record.is_overflow ? page_run_of_bytes(record.value.length) : 0;
    }
    return code;
}

static void print_number(FILE *out, const char *name, uint64_t number)
{
    fprintf(out, "%-20s %llu\n", name, (unsigned long long)number);
}

int tools_stat(const char *path, FILE *out, struct error *error)
{
    struct tree tree = {0};
    struct meta meta;
    struct counts counts = {0};
    int code = open_tree(path, &tree, &meta, error);
    if (code)
        return code;
    if (tree.depth > TREE_DEPTH_MAX || count_page(&tree, tree.root, 0, &counts))
        code = error_set(error, TOOLS_CUT, "%s", pager_damage(tree.pager));
    print_number(out, "format_version", PAGE_FORMAT_VERSION);
    print_number(out, "transaction", meta.transaction);
    print_number(out, "applied_index", meta.applied_index);
    print_number(out, "applied_term", meta.applied_term);
    print_number(out, "keys", meta.keys);
    print_number(out, "depth", meta.depth);
    print_number(out, "page_bytes", PAGE_BYTES);
    print_number(out, "pages", meta.pages);
    print_number(out, "pages_free", pager_freemap(tree.pager)->unused_count);
    print_number(out, "pages_branch", counts.branches);
    print_number(out, "pages_leaf", counts.leaves);
    print_number(out, "pages_overflow", counts.overflow_pages);
    print_number(out, "values_overflow", counts.overflow_values);
    print_number(out, "key_bytes", counts.key_bytes);
    print_number(out, "value_bytes", counts.value_bytes);
    print_number(out, "leaf_fill_percent",
                 counts.leaves ? counts.leaf_used_bytes * 100 / (counts.leaves * PAGE_ROOM_BYTES)
                               : 0);
    fprintf(out, "%-20s ", "state_hash");
    for (unsigned i = 0; i < sizeof(meta.state_hash); i++)
        fprintf(out, "%02x", meta.state_hash[i]);
    fprintf(out, "\n");
    pager_close(tree.pager);
    return code;
}
