#include "page.h"

void page_begin(uint8_t *page, enum page_type type, uint64_t number, uint64_t transaction,
                uint32_t run)
{
    memset(page, 0, PAGE_HEADER_BYTES);
    wire_store_u16(page + 4, (uint16_t)type);
    wire_store_u64(page + 8, number);
    wire_store_u64(page + 16, transaction);
    wire_store_u16(page + 24, (uint16_t)PAGE_BYTES);
    wire_store_u32(page + 28, run);
}

static uint32_t page_checksum(const uint8_t *page, uint32_t pages)
{
    return crc32c(0, page + 4, (size_t)pages * PAGE_BYTES - 4);
}

void page_seal(uint8_t *page, uint32_t pages)
{
    wire_store_u32(page, page_checksum(page, pages));
}

bool page_is_sealed(const uint8_t *page, uint32_t pages)
{
    return wire_load_u32(page) == page_checksum(page, pages);
}
