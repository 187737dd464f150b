/* Deliberate bugs in the order of a commit, one at a time, for a copy of the pager that only the
 * test links (-include of this file): what the product does is untouched. Owner: tests/crash.
 *
 * A proof that finds nothing proves nothing: tests/crash/mutants.sh demands that each is caught. */
#pragma once

#include "file.h"
#include "freemap.h"
#include "page.h"

#include <sys/random.h>

enum mutant {
    MUTANT_NONE,
    MUTANT_SKIP_FIRST_SYNC,  /* the meta page may be on disk before the pages it points to */
    MUTANT_SKIP_SECOND_SYNC, /* durable is said of a commit that is not */
    MUTANT_META_FIRST,       /* the meta page is written and synced before the pages */
    MUTANT_REUSE_EARLY,      /* freed pages are written again one transaction early */
    MUTANT_NO_CHECKSUM,      /* pages are taken for whole without a look */
    MUTANT_NO_SKIP,          /* transactions of dead attempts get their numbers again */
};

/* By name ("skip-first-sync", ...); false: there is none such. */
bool mutant_choose(const char *name);

int mutant_sync(const char *point, int fd);
int mutant_write_at(const char *point, int fd, const void *bytes, size_t length, uint64_t offset);
int mutant_write_parts_at(const char *point, int fd, struct iovec *parts, int parts_count,
                          uint64_t offset);
void mutant_on_commit(struct freemap *map, uint64_t committed);
bool mutant_is_sealed(const uint8_t *page, uint32_t pages);
ssize_t mutant_random(void *bytes, size_t length, unsigned flags);

#ifndef MUTANT_OWN
#define file_sync mutant_sync
#define file_write_at mutant_write_at
#define file_write_parts_at mutant_write_parts_at
#define freemap_on_commit mutant_on_commit
#define page_is_sealed mutant_is_sealed
#define getrandom mutant_random
#endif
