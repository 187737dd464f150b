/* What the fuzz targets share: a folder in memory to work in, and bytes read one by one. Owner:
 * tests/fuzz. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static char scratch_path[] = "/dev/shm/conure-fuzz-XXXXXX";

static inline void scratch_remove(void)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -rf %s", scratch_path);
    (void)!system(command);
}

/* Once: makes the folder, with raft/ in it, and enters it; it goes away with the process. */
static inline void scratch_enter(void)
{
    if (!mkdtemp(scratch_path) || chdir(scratch_path) || mkdir("raft", 0700) ||
        atexit(scratch_remove))
        abort();
}

struct script {
    const uint8_t *at, *end;
};

/* 0 at the end. */
static inline uint32_t script_next(struct script *script, unsigned bytes)
{
    uint32_t number = 0;
    for (unsigned i = 0; i < bytes && script->at < script->end; i++)
        number |= (uint32_t)*script->at++ << 8 * i;
    return number;
}
