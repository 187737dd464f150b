/* A small file that is replaced as a whole: raft/hard_state. Owner: raftd.
 *
 *   OFFSET SIZE
 *   0      8    magic
 *   8      4    format version (2)
 *   12     4    CRC-32C of the body
 *   16     -    body */
#pragma once

#include "buffer.h"
#include "error.h"
#include "wire.h"

#define STATE_FILE_BYTES_MAX 65536u

/* Written beside, synced, renamed, directory synced (file_replace). */
int state_file_save(const char *point, const char *path, const char *magic,
                    const struct buffer *body);
/* 0 with the body appended to `into`; -ENOENT (no line); -EBADMSG, -EPROTO or errno with the line.
 */
int state_file_load(const char *point, const char *path, const char *magic, struct buffer *into,
                    struct error *error);
