#include "verify.h"

#include "buffer.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define PROGRESS_PAGES 16384u

struct check {
    struct tree *tree;
    uint8_t *reached; /* a bit for each page */
    uint64_t pages, pages_done;
    uint64_t keys;
    uint8_t hash[16];
    uint8_t last_key[LIMIT_KEY_BYTES_CAP];
    size_t last_key_bytes;
    long findings;
    verify_report_fn *report;
    verify_progress_fn *progress;
    void *context;
};

static void check_find(struct check *check, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void check_find(struct check *check, const char *format, ...)
{
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    check->findings++;
    check->report(check->context, line);
}

static void check_reach(struct check *check, uint64_t number, uint32_t run)
{
    for (uint64_t at = number; at < number + run; at++) {
        if (check->reached[at / 8] >> (at % 8) & 1)
            check_find(check, "page %llu: reached twice", (unsigned long long)at);
        check->reached[at / 8] |= (uint8_t)(1u << at % 8);
        if (freemap_is_unused(pager_freemap(check->tree->pager), at))
            check_find(check, "page %llu: in use, but the free map calls it free",
                       (unsigned long long)at);
    }
    uint64_t before = check->pages_done;
    check->pages_done += run;
    if (check->progress && before / PROGRESS_PAGES != check->pages_done / PROGRESS_PAGES)
        check->progress(check->context, check->pages_done, check->pages);
}

static int check_record(void *context, const struct tree_record *record)
{
    struct check *check = context;
    struct node_bytes last = {check->last_key, check->last_key_bytes};
    if (check->keys && node_compare(last, record->key) >= 0)
        check_find(check, "key %llu: not greater than the one before",
                   (unsigned long long)check->keys);
    if (record->is_overflow && tree_value_hash(record->value) != record->value_hash)
        check_find(check, "key %llu: its overflow value does not match its hash",
                   (unsigned long long)check->keys);
    memcpy(check->last_key, record->key.bytes, record->key.length);
    check->last_key_bytes = record->key.length;
    check->keys++;
    store_hash_add(check->hash, record);
    return 0;
}

/* Below a damaged page nothing can be said; the walk goes on beside it. */
static void check_page(struct check *check, struct page_pin pin, unsigned level)
{
    bool leaf = level + 1 == check->tree->depth;
    const uint8_t *page = pager_read(check->tree->pager, pin, leaf ? PAGE_LEAF : PAGE_BRANCH);
    if (!page) {
        check_find(check, "%s", pager_damage(check->tree->pager));
        return;
    }
    check_reach(check, pin.number, 1);
    for (unsigned slot = 0; slot < node_count(page); slot++)
        if (!leaf)
            check_page(check, branch_child(page, slot), level + 1);
    if (!leaf)
        return;
    struct tree_path path = {.found = true};
    path.pins[level] = pin;
    for (unsigned slot = 0; slot < node_count(page); slot++) {
        struct tree_record record;
        path.slots[level] = slot;
        if (tree_load(check->tree, &path, &record)) {
            check_find(check, "%s", pager_damage(check->tree->pager));
            continue;
        }
        if (record.is_overflow)
            check_reach(check, page_number(record.value.bytes - PAGE_HEADER_BYTES),
                        page_run(record.value.bytes - PAGE_HEADER_BYTES));
        (void)check_record(check, &record);
    }
}

static void check_free(struct check *check, const struct meta *expected)
{
    if (expected->free_map.number) {
        const uint8_t *run = pager_read(check->tree->pager, expected->free_map, PAGE_FREE_MAP);
        if (run)
            check_reach(check, expected->free_map.number, page_run(run));
        else
            check_find(check, "%s", pager_damage(check->tree->pager));
        if (!run)
            return; /* every page counts as in use: nothing more can be said of them */
    }
    for (uint64_t at = PAGE_METAS; at < check->pages; at++) {
        bool reached = check->reached[at / 8] >> (at % 8) & 1;
        if (!reached && !freemap_is_unused(pager_freemap(check->tree->pager), at))
            check_find(check, "page %llu: neither reached nor free: it leaked",
                       (unsigned long long)at);
    }
}

long verify_tree(struct tree *tree, const struct meta *expected, verify_report_fn *report,
                 verify_progress_fn *progress, void *context)
{
    struct check check = {.tree = tree,
                          .pages = pager_pages(tree->pager),
                          .report = report,
                          .progress = progress,
                          .context = context};
    check.reached = memory_new_zeroed(1, freemap_bytes(check.pages));
    if (tree->depth > TREE_DEPTH_MAX)
        check_find(&check, "the tree is said to be %u levels deep", tree->depth);
    else
        check_page(&check, tree->root, 0);
    check_free(&check, expected);
    if (!check.findings && check.keys != expected->keys)
        check_find(&check, "%llu keys, but %llu are said to be there",
                   (unsigned long long)check.keys, (unsigned long long)expected->keys);
    if (!check.findings && memcmp(check.hash, expected->state_hash, sizeof(check.hash)))
        check_find(&check, "the state hash does not match the keys and values");
    free(check.reached);
    return check.findings;
}

long verify_file(const char *path, verify_report_fn *report, verify_progress_fn *progress,
                 void *context, struct error *error)
{
    struct tree tree = {0};
    struct meta meta;
    int code = pager_open(&tree.pager, path, true, &meta, error);
    if (code)
        return code;
    tree.root = meta.root;
    tree.depth = meta.depth;
    long findings = verify_tree(&tree, &meta, report, progress, context);
    pager_close(tree.pager);
    return findings;
}
