/* Builds the legal crash states of a journal (disk.h) and shows each to a check. Owner:
 * tests/crash.
 *
 * What a power loss may leave (the contract of POSIX, ext4 and a disk with a cache):
 *   - what was written to a file since its last sync: each block holds any of the contents it had
 *     since then, block by block; one block may be torn at 512 bytes;
 *   - the length of a file: any it had since its last sync; what lies between an old end and a new
 *     one and was not written back is zeros or junk;
 *   - names made, renamed or removed since the last sync of their directory: each either way, also
 *     of a file that was itself synced.
 * All else is as written.
 *
 * A crash is looked at before each sync (then most is pending: a crash any earlier leaves one of
 * the same states) and where the test asks for it. Pending choices up to `exhaustive_max`: every
 * combination; else prefixes in time, all but one, and random ones; always: one block torn. */
#pragma once

#include "disk.h"
#include "random.h"

#define REPLAY_SECTOR_BYTES 512u

struct replay_options {
    const char *folder;      /* absolute, exists, empty; its folder state/ is the crash state */
    uint32_t block_bytes;    /* 4096, or 512 */
    unsigned exhaustive_max; /* choices: at most 12 */
    bool tear;               /* one block torn, too */
    unsigned samples;        /* random states and random prefixes, drops, tears: of each */
    struct random *random;
    /* A mark was passed; true: look at the crash states here. */
    bool (*on_mark)(void *context, uint64_t number, uint64_t value);
    /* The working directory is the crash state, which must not be changed. False: stop. */
    bool (*check)(void *context);
    void *context;
};

struct replay_result {
    uint64_t points; /* moments looked at */
    uint64_t states; /* crash states checked */
    bool stopped;    /* by the check */
};

/* The working directory is as before afterwards; the folder is empty again. */
void replay_run(const struct disk *disk, const struct replay_options *options,
                struct replay_result *result);
