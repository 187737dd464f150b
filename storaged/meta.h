/* The two meta pages: what a transaction commits by (page.h has the layout). Owner: storaged. */
#pragma once

#include "page.h"

struct meta {
    uint64_t transaction;
    struct page_pin root;
    uint64_t pages;
    uint64_t keys;
    uint64_t applied_index;
    uint64_t applied_term;
    uint8_t state_hash[16];
    struct page_pin free_map; /* number 0: the file has no free page */
    uint8_t store_id[16];
    uint32_t depth;
    uint32_t configuration_bytes;
    uint8_t configuration[LIMIT_CONFIGURATION_BYTES_MAX];
};

enum meta_outcome {
    META_DAMAGED = 1,   /* checksum, magic, place or fields do not fit */
    META_OTHER_VERSION, /* whole, but of a format version this build does not know */
};

/* Fills a whole page, sealed. It belongs at page number transaction % 2. */
void meta_encode(uint8_t page[PAGE_BYTES], const struct meta *meta);
/* `number` is where the page was read; `file_pages` bounds what it may point to. 0 or a
 * meta_outcome; *ret_version is set if the page is a whole meta page of any version. */
int meta_decode(const uint8_t page[PAGE_BYTES], uint64_t number, uint64_t file_pages,
                struct meta *ret_meta, uint32_t *ret_version);
