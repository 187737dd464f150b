#define MUTANT_OWN
#include "mutant.h"

#include "buffer.h"

#include <stdlib.h>
#include <string.h>

static enum mutant mutant_now;

/* META_FIRST: pages held back until the meta page is on disk. */
static struct held {
    int fd;
    uint8_t *bytes;
    size_t length;
    uint64_t offset;
} held[4096];
static unsigned held_count;

bool mutant_choose(const char *name)
{
    static const char *const names[] = {
        [MUTANT_NONE] = "none",
        [MUTANT_SKIP_FIRST_SYNC] = "skip-first-sync",
        [MUTANT_SKIP_SECOND_SYNC] = "skip-second-sync",
        [MUTANT_META_FIRST] = "meta-first",
        [MUTANT_REUSE_EARLY] = "reuse-early",
        [MUTANT_NO_CHECKSUM] = "no-checksum",
        [MUTANT_NO_SKIP] = "no-skip",
    };
    for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (!strcmp(names[i], name)) {
            mutant_now = (enum mutant)i;
            return true;
        }
    return false;
}

int mutant_sync(const char *point, int fd)
{
    bool first = !strcmp(point, "tree.page.sync"), second = !strcmp(point, "tree.meta.sync");
    if (mutant_now == MUTANT_META_FIRST && first)
        return 0;
    if (mutant_now == MUTANT_META_FIRST && second) {
        int code = file_sync(point, fd);
        for (unsigned i = 0; i < held_count; i++) {
            code = code ? code
                        : file_write_at(point, held[i].fd, held[i].bytes, held[i].length,
                                        held[i].offset);
            free(held[i].bytes);
        }
        held_count = 0;
        return code ? code : file_sync(point, fd);
    }
    if ((mutant_now == MUTANT_SKIP_FIRST_SYNC && first) ||
        (mutant_now == MUTANT_SKIP_SECOND_SYNC && second))
        return 0;
    return file_sync(point, fd);
}

int mutant_write_at(const char *point, int fd, const void *bytes, size_t length, uint64_t offset)
{
    return file_write_at(point, fd, bytes, length, offset);
}

int mutant_write_parts_at(const char *point, int fd, struct iovec *parts, int parts_count,
                          uint64_t offset)
{
    if (mutant_now != MUTANT_META_FIRST)
        return file_write_parts_at(point, fd, parts, parts_count, offset);
    for (int i = 0; i < parts_count; i++) {
        struct held *page = &held[held_count++ % 4096];
        *page = (struct held){fd, memory_new(parts[i].iov_len), parts[i].iov_len, offset};
        memcpy(page->bytes, parts[i].iov_base, parts[i].iov_len);
        offset += parts[i].iov_len;
    }
    return 0;
}

void mutant_on_commit(struct freemap *map, uint64_t committed)
{
    freemap_on_commit(map, committed + (mutant_now == MUTANT_REUSE_EARLY));
}

bool mutant_is_sealed(const uint8_t *page, uint32_t pages)
{
    return mutant_now == MUTANT_NO_CHECKSUM || page_is_sealed(page, pages);
}

ssize_t mutant_random(void *bytes, size_t length, unsigned flags)
{
    if (mutant_now != MUTANT_NO_SKIP)
        return getrandom(bytes, length, flags);
    memset(bytes, 0, length);
    return (ssize_t)length;
}
