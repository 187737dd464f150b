#include "segment.h"

#include "crc32c.h"
#include "file.h"
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEGMENT_MAGIC "CONRLOG1"
#define ZERO_BYTES (1u << 20)

void segment_path(char into[SEGMENT_NAME_BYTES], uint64_t first_index)
{
    snprintf(into, SEGMENT_NAME_BYTES, "raft/%020llu.log", (unsigned long long)first_index);
}

void segment_header_encode(uint8_t into[SEGMENT_HEADER_BYTES], struct segment_header *header)
{
    memset(into, 0, SEGMENT_HEADER_BYTES);
    memcpy(into, SEGMENT_MAGIC, 8);
    wire_store_u32(into + 8, SEGMENT_FORMAT_VERSION);
    wire_store_u64(into + 16, header->first_index);
    wire_store_u64(into + 24, header->previous_term);
    memcpy(into + 32, header->cluster_id, sizeof(header->cluster_id));
    wire_store_u64(into + 48, header->salt);
    header->crc = crc32c(0, into + 16, SEGMENT_HEADER_BYTES - 16);
    wire_store_u32(into + 12, header->crc);
}

int segment_header_decode(const uint8_t from[SEGMENT_HEADER_BYTES], const char *path,
                          struct segment_header *ret_header, struct error *error)
{
    uint32_t crc = wire_load_u32(from + 12), version = wire_load_u32(from + 8);
    if (memcmp(from, SEGMENT_MAGIC, 8))
        return error_set(error, -EBADMSG, "%s is damaged: no log header at offset 0", path);
    if (version != SEGMENT_FORMAT_VERSION)
        return error_set(error, -EPROTO, "%s has format version %u, this build knows %u", path,
                         version, SEGMENT_FORMAT_VERSION);
    if (crc32c(0, from + 16, SEGMENT_HEADER_BYTES - 16) != crc)
        return error_set(error, -EBADMSG,
                         "%s is damaged: the header's checksum at offset 12 does not match", path);
    ret_header->first_index = wire_load_u64(from + 16);
    ret_header->previous_term = wire_load_u64(from + 24);
    memcpy(ret_header->cluster_id, from + 32, sizeof(ret_header->cluster_id));
    ret_header->salt = wire_load_u64(from + 48);
    ret_header->crc = crc;
    return 0;
}

void segment_note_record(struct segment *segment, uint64_t index, uint64_t offset)
{
    uint32_t place = (uint32_t)(index - segment->header.first_index);
    if (place >= segment->offsets_capacity) {
        uint32_t capacity = segment->offsets_capacity ? segment->offsets_capacity * 2 : 1024;
        segment->offsets = realloc(segment->offsets, capacity * sizeof(*segment->offsets));
        if (!segment->offsets)
            abort();
        segment->offsets_capacity = capacity;
    }
    segment->offsets[place] = (uint32_t)(offset / 8);
    segment->last_index = index;
}

void segment_free(struct segment *segment)
{
    if (segment->fd >= 0)
        file_close(segment->fd);
    free(segment->offsets);
    free(segment);
}

static int write_zeros(int fd, uint64_t bytes)
{
    uint8_t *zeros = memory_new_zeroed(1, ZERO_BYTES);
    struct file_flow flow = {0};
    int code = 0;
    for (uint64_t at = 0; at < bytes && !code; at += ZERO_BYTES) {
        uint64_t part = bytes - at < ZERO_BYTES ? bytes - at : ZERO_BYTES;
        code = file_write_at("log.create", fd, zeros, part, at);
        if (!code)
            code = file_flow("log.create", fd, &flow, at, part);
    }
    free(zeros);
    return code;
}

/* The blocks come first: without room for all of them, none are taken, and others keep what there
 * is. A file that is there already keeps its own. */
static int open_with_blocks(const char *path, uint64_t bytes, int *ret_fd)
{
    int fd;
    uint64_t bytes_before = 0;
    int code = file_open("log.create", path, O_RDWR | O_CREAT, 0600, &fd);
    if (code)
        return code;
    code = file_size(fd, &bytes_before);
    if (!code && bytes_before > bytes)
        code = file_resize("log.create", fd, bytes);
    if (!code && bytes_before < bytes)
        code = file_allocate("log.create", fd, bytes_before, bytes - bytes_before);
    if (!code) {
        *ret_fd = fd;
        return 0;
    }
    file_close(fd);
    if (bytes_before == 0)
        (void)file_unlink("log.create", path);
    return code == -EDQUOT ? -ENOSPC : code;
}

int segment_reserve(const char *path, uint64_t bytes)
{
    int fd;
    int code = open_with_blocks(path, bytes, &fd);
    if (!code)
        file_close(fd);
    return code;
}

int segment_prepare(const char *path, uint64_t bytes)
{
    int fd;
    int code = open_with_blocks(path, bytes, &fd);
    if (code)
        return code;
    code = write_zeros(fd, bytes);
    if (!code)
        code = file_sync("log.create", fd);
    file_close(fd);
    return code;
}
