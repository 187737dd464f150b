/* For a copy of raftd's log that only the test links (-include of this file): segments small enough
 * to be crossed often, and syncs that can be left out by the name of their fault point. Owner:
 * tests/crash. */
#pragma once

#include "file.h"
#include "segment.h"

#undef SEGMENT_BYTES
#define SEGMENT_BYTES (24u << 10)

/* NULL: nothing is left out. Set before threads start. */
extern const char *log_mutant_point;

int log_mutant_sync(const char *point, int fd);
int log_mutant_sync_directory(const char *point, const char *path);
int log_mutant_replace(const char *point, const char *directory, const char *path,
                       const void *bytes, size_t length);

#ifndef LOG_MUTANT_OWN
#define file_sync log_mutant_sync
#define file_sync_directory log_mutant_sync_directory
#define file_replace log_mutant_replace
#endif
