#include "meta.h"

#include <assert.h>

#define SECTOR_BYTES 512u
#define SECTORS (PAGE_BYTES / SECTOR_BYTES)
#define STAMP_BYTES 8u
#define CONFIGURATION_AT 152u

_Static_assert(CONFIGURATION_AT + LIMIT_CONFIGURATION_BYTES_MAX + SECTORS * STAMP_BYTES <=
                   PAGE_BYTES,
               "the configuration fits the meta page, around the stamps");

static uint32_t stamp_at(unsigned sector)
{
    return (sector + 1) * SECTOR_BYTES - STAMP_BYTES;
}

/* The configuration's next piece begins at *at and ends before a stamp; returns its bytes and moves
 * *at behind the stamp. */
static uint32_t configuration_piece(uint32_t *at, uint32_t left)
{
    uint32_t room = stamp_at(*at / SECTOR_BYTES) - *at;
    uint32_t bytes = left < room ? left : room;
    *at += room + STAMP_BYTES;
    return bytes;
}

void meta_encode(uint8_t page[PAGE_BYTES], const struct meta *meta)
{
    assert(meta->configuration_bytes <= LIMIT_CONFIGURATION_BYTES_MAX);
    memset(page, 0, PAGE_BYTES);
    page_begin(page, PAGE_META, meta->transaction % PAGE_METAS, meta->transaction, 0);
    memcpy(page + 32, PAGE_MAGIC, 8);
    wire_store_u32(page + 40, PAGE_FORMAT_VERSION);
    wire_store_u32(page + 44, PAGE_BYTES);
    wire_store_u64(page + 48, meta->root.number);
    wire_store_u64(page + 56, meta->root.transaction);
    wire_store_u64(page + 64, meta->pages);
    wire_store_u64(page + 72, meta->keys);
    wire_store_u64(page + 80, meta->applied_index);
    wire_store_u64(page + 88, meta->applied_term);
    memcpy(page + 96, meta->state_hash, sizeof(meta->state_hash));
    wire_store_u64(page + 112, meta->free_map.number);
    wire_store_u64(page + 120, meta->free_map.transaction);
    memcpy(page + 128, meta->store_id, sizeof(meta->store_id));
    wire_store_u32(page + 144, meta->depth);
    wire_store_u32(page + 148, meta->configuration_bytes);
    for (uint32_t done = 0, at = CONFIGURATION_AT; done < meta->configuration_bytes;) {
        uint8_t *piece = page + at;
        uint32_t bytes = configuration_piece(&at, meta->configuration_bytes - done);
        memcpy(piece, meta->configuration + done, bytes);
        done += bytes;
    }
    for (unsigned sector = 0; sector < SECTORS; sector++)
        wire_store_u64(page + stamp_at(sector), meta->transaction);
    page_seal(page, 1);
}

static bool meta_fits(const struct meta *meta, uint64_t number, uint64_t file_pages)
{
    return meta->transaction > 0 && meta->transaction % PAGE_METAS == number &&
           meta->pages <= file_pages && meta->root.number >= PAGE_METAS &&
           meta->root.number < meta->pages && meta->root.transaction <= meta->transaction &&
           meta->free_map.number < meta->pages && meta->depth >= 1 &&
           meta->configuration_bytes <= LIMIT_CONFIGURATION_BYTES_MAX;
}

int meta_decode(const uint8_t page[PAGE_BYTES], uint64_t number, uint64_t file_pages,
                struct meta *ret_meta, uint32_t *ret_version)
{
    if (memcmp(page + 32, PAGE_MAGIC, 8) || !page_is_sealed(page, 1))
        return META_DAMAGED;
    *ret_version = wire_load_u32(page + 40);
    if (*ret_version != PAGE_FORMAT_VERSION || wire_load_u32(page + 44) != PAGE_BYTES)
        return META_OTHER_VERSION;
    struct meta meta = {
        .transaction = page_transaction(page),
        .root = {wire_load_u64(page + 48), wire_load_u64(page + 56)},
        .pages = wire_load_u64(page + 64),
        .keys = wire_load_u64(page + 72),
        .applied_index = wire_load_u64(page + 80),
        .applied_term = wire_load_u64(page + 88),
        .free_map = {wire_load_u64(page + 112), wire_load_u64(page + 120)},
        .depth = wire_load_u32(page + 144),
        .configuration_bytes = wire_load_u32(page + 148),
    };
    if (page_number(page) != number || !meta_fits(&meta, number, file_pages))
        return META_DAMAGED;
    memcpy(meta.state_hash, page + 96, sizeof(meta.state_hash));
    memcpy(meta.store_id, page + 128, sizeof(meta.store_id));
    for (uint32_t done = 0, at = CONFIGURATION_AT; done < meta.configuration_bytes;) {
        const uint8_t *piece = page + at;
        uint32_t bytes = configuration_piece(&at, meta.configuration_bytes - done);
        memcpy(meta.configuration + done, piece, bytes);
        done += bytes;
    }
    *ret_meta = meta;
    return 0;
}
