/* Files, as storaged's tree and raftd's log see them: the only way they touch a disk.
 *
 * All calls retry EINTR and short transfers, and return 0 or a negative errno. `file_layer` can be
 * replaced by tests with a layer that records writes, syncs and names, and with -Dfault_points=true
 * each call first asks common/fault.h, with the name given by the caller ("log.sync",
 * "tree.meta.write", ...).
 *
 * Invariant 7: a failed sync, or EIO, is for the caller to end the process on, never to retry. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct file_layer {
    int (*open)(const char *path, int flags, unsigned mode); /* descriptor or negative errno */
    int (*close)(int fd);
    long (*read_at)(int fd, void *bytes, size_t length,
                    uint64_t offset); /* bytes or negative errno */
    long (*write_at)(int fd, const struct iovec *parts, int parts_count, uint64_t offset);
    int (*sync)(int fd);                                                   /* fdatasync */
    int (*flush)(int fd, uint64_t offset, uint64_t bytes, unsigned flags); /* sync_file_range */
    int (*sync_full)(int fd);                                              /* fsync */
    int (*resize)(int fd, uint64_t bytes);
    int (*allocate)(int fd, uint64_t offset, uint64_t bytes); /* posix_fallocate */
    int (*rename)(const char *from, const char *to);
    int (*unlink)(const char *path);
};

/* Set once before threads start; the real system calls unless a test says otherwise. */
extern const struct file_layer *file_layer;
extern const struct file_layer file_layer_system;

int file_open(const char *point, const char *path, int flags, unsigned mode, int *ret_fd);
void file_close(int fd);
/* All of `length`; end of file before that is -ENODATA. */
int file_read_at(const char *point, int fd, void *bytes, size_t length, uint64_t offset);
int file_write_at(const char *point, int fd, const void *bytes, size_t length, uint64_t offset);
/* May change `parts` while it works. At most 1024 parts. */
int file_write_parts_at(const char *point, int fd, struct iovec *parts, int parts_count,
                        uint64_t offset);
int file_sync(const char *point, int fd);
/* What was written ahead of a sync, in ascending order, goes to the disk in pieces of at least
 * FILE_FLOW_BYTES, at most FILE_FLOW_PIECES at once: a sync of another file on that disk waits for
 * those, not for all. To be called behind each write; zeroed at first. It makes nothing durable. An
 * error is that of a failed sync: the sync may not tell of it again, and what was written is lost
 * or must be written again.
 *
 * Small, for a kernel without preemption lets nobody else onto the processor while it sends one: a
 * thread whose sync has ended meanwhile waits for that. What goes on all the time beside a log
 * (checkpoints) is written no larger either; what others wait for (a log's next file, an installed
 * store) is, since larger is faster. */
#define FILE_FLOW_BYTES (32u << 10)
#define FILE_FLOW_PIECES 4u /* more: the log waits; fewer: a disk that is far away is idle */
struct file_flow {
    uint64_t begin, end, bytes; /* the piece that grows */
    struct {
        uint64_t begin, end;
    } sent[FILE_FLOW_PIECES - 1]; /* and not waited for; empty: none */
    unsigned oldest;              /* of them */
};
int file_flow(const char *point, int fd, struct file_flow *flow, uint64_t offset, uint64_t bytes);
int file_resize(const char *point, int fd, uint64_t bytes);
int file_allocate(const char *point, int fd, uint64_t offset, uint64_t bytes);
int file_rename(const char *point, const char *from, const char *to);
int file_unlink(const char *point, const char *path);
/* Syncs a directory, so that names created, renamed or removed in it last. */
int file_sync_directory(const char *point, const char *path);
int file_size(int fd, uint64_t *ret_bytes);
/* What the file system of `path` has free for us. */
int file_free_bytes(const char *point, const char *path, uint64_t *ret_bytes);

/* Replaces `path` by a file with this content: written beside it under `path`.new, synced, renamed,
 * directory (`directory`, which holds it) synced. After a crash either the old or the new content
 * is there. */
int file_replace(const char *point, const char *directory, const char *path, const void *bytes,
                 size_t length);
/* Reads a whole small file; -EFBIG if it holds more than `bytes_max`. */
int file_read_whole(const char *point, const char *path, void *into, size_t bytes_max,
                    size_t *ret_length);
