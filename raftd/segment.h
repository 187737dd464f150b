/* One file of the log: raft/<first index, 20 digits>.log. Owner: raftd.
 *
 *   OFFSET SIZE
 *   0      8    magic "CONRLOG1"
 *   8      4    format version
 *   12     4    CRC-32C of bytes 16..63, the beginning of the chain of records
 *   16     8    first index
 *   24     8    term of the entry before it (0 for the first of all)
 *   32     16   cluster id
 *   48     8    random, so that the header's CRC, with which those of its records begin, cannot be
 *               foreseen
 *   56     8    zero
 *   64     -    records (record.h), then zeros to the end of the file
 *
 * Files are made long and full of zeros before they are used: a sync then has no new length and no
 * new blocks to write. */
#pragma once

#include "buffer.h"
#include "error.h"

#include <stdint.h>

#define SEGMENT_HEADER_BYTES 64u
#define SEGMENT_FORMAT_VERSION 1u
#define SEGMENT_BYTES                                                                              \
    (16u << 20) /* a file ends before the entry that would cross this; one too large for any gets  \
                   a file of its size */
#define SEGMENT_NAME_BYTES 40u

struct segment_header {
    uint64_t first_index;
    uint64_t previous_term;
    uint8_t cluster_id[16];
    uint64_t salt;
    uint32_t crc; /* set by encode and decode */
};

struct segment {
    struct segment *next; /* towards newer ones */
    struct segment_header header;
    char path[SEGMENT_NAME_BYTES];
    int fd;
    uint64_t file_bytes;
    uint64_t used_bytes; /* end of the last record */
    uint64_t last_index; /* first - 1: empty */
    uint32_t *offsets;   /* of each record, in units of 8 bytes */
    uint32_t offsets_capacity;
    uint32_t crc_last; /* chain for the next record */
};

void segment_path(char into[SEGMENT_NAME_BYTES], uint64_t first_index);
void segment_header_encode(uint8_t into[SEGMENT_HEADER_BYTES], struct segment_header *header);
/* 0; -EBADMSG or -EPROTO (another version) with the line. */
int segment_header_decode(const uint8_t from[SEGMENT_HEADER_BYTES], const char *path,
                          struct segment_header *ret_header, struct error *error);
void segment_note_record(struct segment *segment, uint64_t index, uint64_t offset);
static inline uint64_t segment_offset(const struct segment *segment, uint64_t index)
{
    return (uint64_t)segment->offsets[index - segment->header.first_index] * 8;
}
void segment_free(struct segment *segment);
/* A file of `bytes` zeros under `path`, written and synced, in the blocks of the one that is there:
 * for the writer thread and the first start. After -ENOSPC there is what was before. */
int segment_prepare(const char *path, uint64_t bytes);
/* The blocks for that alone: cheap, and what is prepared later finds them. */
int segment_reserve(const char *path, uint64_t bytes);
