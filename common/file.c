#include "file.h"

#include "fault.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* The system's calls, as outcomes instead of errno. */

static int errno_or(long result)
{
    return result < 0 ? -errno : 0;
}

static int system_open(const char *path, int flags, unsigned mode)
{
    int fd = open(path, flags | O_CLOEXEC, (mode_t)mode);
    return fd < 0 ? -errno : fd;
}

static int system_close(int fd)
{
    return errno_or(close(fd));
}

static long system_read_at(int fd, void *bytes, size_t length, uint64_t offset)
{
    ssize_t result = pread(fd, bytes, length, (off_t)offset);
    return result < 0 ? -errno : result;
}

static long system_write_at(int fd, const struct iovec *parts, int parts_count, uint64_t offset)
{
    ssize_t result = pwritev(fd, parts, parts_count, (off_t)offset);
    return result < 0 ? -errno : result;
}

static int system_sync(int fd)
{
    return errno_or(fdatasync(fd));
}

/* Where it cannot be had it is gone without: only what it says of the disk counts. */
static int system_flush(int fd, uint64_t offset, uint64_t bytes, unsigned flags)
{
    int code = errno_or(sync_file_range(fd, (off_t)offset, (off_t)bytes, flags));
    return code == -EIO || code == -ENOSPC || code == -EDQUOT ? code : 0;
}

static int system_sync_full(int fd)
{
    return errno_or(fsync(fd));
}

static int system_resize(int fd, uint64_t bytes)
{
    return errno_or(ftruncate(fd, (off_t)bytes));
}

static int system_allocate(int fd, uint64_t offset, uint64_t bytes)
{
    return -posix_fallocate(fd, (off_t)offset, (off_t)bytes);
}

static int system_rename(const char *from, const char *to)
{
    return errno_or(rename(from, to));
}

static int system_unlink(const char *path)
{
    return errno_or(unlink(path));
}

const struct file_layer file_layer_system = {
    .open = system_open,
    .close = system_close,
    .read_at = system_read_at,
    .write_at = system_write_at,
    .sync = system_sync,
    .flush = system_flush,
    .sync_full = system_sync_full,
    .resize = system_resize,
    .allocate = system_allocate,
    .rename = system_rename,
    .unlink = system_unlink,
};

const struct file_layer *file_layer = &file_layer_system;

/* Asks the fault point, then runs the call, again as long as it is interrupted. A failed sync is
 * not run again. */
#define FILE_CALL(point, call)                                                                     \
    ({                                                                                             \
        int code_ = fault_check(point);                                                            \
        while (!code_ && (code_ = (call)) == -EINTR)                                               \
            code_ = 0;                                                                             \
        code_;                                                                                     \
    })

int file_open(const char *point, const char *path, int flags, unsigned mode, int *ret_fd)
{
    int fd = FILE_CALL(point, file_layer->open(path, flags, mode));
    if (fd < 0)
        return fd;
    *ret_fd = fd;
    return 0;
}

void file_close(int fd)
{
    (void)file_layer->close(fd);
}

int file_read_at(const char *point, int fd, void *bytes, size_t length, uint64_t offset)
{
    int code = fault_check(point);
    if (code)
        return code;
    uint8_t *at = bytes;
    while (length > 0) {
        long part = file_layer->read_at(fd, at, length, offset);
        if (part == -EINTR)
            continue;
        if (part < 0)
            return (int)part;
        if (part == 0)
            return -ENODATA;
        at += part;
        offset += (uint64_t)part;
        length -= (size_t)part;
    }
    return 0;
}

int file_write_at(const char *point, int fd, const void *bytes, size_t length, uint64_t offset)
{
    struct iovec part = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = length};
    return file_write_parts_at(point, fd, &part, 1, offset);
}

/* Steps over `done` written bytes; returns how many parts are through. */
static int parts_advance(struct iovec *parts, int parts_count, size_t done)
{
    int first = 0;
    while (first < parts_count && done >= parts[first].iov_len)
        done -= parts[first++].iov_len;
    if (first < parts_count) {
        parts[first].iov_base = (uint8_t *)parts[first].iov_base + done;
        parts[first].iov_len -= done;
    }
    return first;
}

int file_write_parts_at(const char *point, int fd, struct iovec *parts, int parts_count,
                        uint64_t offset)
{
    assert(parts_count <= 1024);
    int code = fault_check(point);
    if (code)
        return code;
    int first = parts_advance(parts, parts_count, 0);
    while (first < parts_count) {
        long written = file_layer->write_at(fd, parts + first, parts_count - first, offset);
        if (written == -EINTR)
            continue;
        if (written < 0)
            return (int)written;
        if (written == 0)
            return -EIO;
        offset += (uint64_t)written;
        first += parts_advance(parts + first, parts_count - first, (size_t)written);
    }
    return 0;
}

int file_sync(const char *point, int fd)
{
    int code = fault_check(point);
    return code ? code : file_layer->sync(fd);
}

static int flow_push(int fd, struct file_flow *flow)
{
    uint64_t first = flow->sent[flow->oldest].begin, last = flow->sent[flow->oldest].end;
    int code = file_layer->flush(fd, flow->begin, flow->end - flow->begin, SYNC_FILE_RANGE_WRITE);
    if (!code && last > first)
        code = file_layer->flush(fd, first, last - first, SYNC_FILE_RANGE_WAIT_BEFORE);
    flow->sent[flow->oldest].begin = flow->begin;
    flow->sent[flow->oldest].end = flow->end;
    flow->oldest = (flow->oldest + 1) % (FILE_FLOW_PIECES - 1);
    flow->bytes = 0;
    return code;
}

int file_flow(const char *point, int fd, struct file_flow *flow, uint64_t offset, uint64_t bytes)
{
    int code = fault_check(point);
    if (code)
        return code;
    if (flow->bytes == 0)
        flow->begin = offset;
    flow->end = offset + bytes;
    flow->bytes += bytes;
    return flow->bytes >= FILE_FLOW_BYTES ? flow_push(fd, flow) : 0;
}

int file_resize(const char *point, int fd, uint64_t bytes)
{
    return FILE_CALL(point, file_layer->resize(fd, bytes));
}

int file_allocate(const char *point, int fd, uint64_t offset, uint64_t bytes)
{
    return FILE_CALL(point, file_layer->allocate(fd, offset, bytes));
}

static int free_bytes(const char *path, uint64_t *ret_bytes)
{
    struct statvfs status;
    if (statvfs(path, &status) < 0)
        return -errno;
    *ret_bytes = (uint64_t)status.f_bavail * status.f_frsize;
    return 0;
}

int file_free_bytes(const char *point, const char *path, uint64_t *ret_bytes)
{
    return FILE_CALL(point, free_bytes(path, ret_bytes));
}

int file_rename(const char *point, const char *from, const char *to)
{
    return FILE_CALL(point, file_layer->rename(from, to));
}

int file_unlink(const char *point, const char *path)
{
    return FILE_CALL(point, file_layer->unlink(path));
}

int file_sync_directory(const char *point, const char *path)
{
    int fd;
    int code = file_open(point, path, O_RDONLY | O_DIRECTORY, 0, &fd);
    if (code)
        return code;
    code = file_layer->sync_full(fd);
    file_close(fd);
    return code;
}

int file_size(int fd, uint64_t *ret_bytes)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return -errno;
    *ret_bytes = (uint64_t)status.st_size;
    return 0;
}

static int file_write_new(const char *point, const char *path, const void *bytes, size_t length)
{
    int fd;
    int code = file_open(point, path, O_WRONLY | O_CREAT | O_TRUNC, 0600, &fd);
    if (code)
        return code;
    code = file_write_at(point, fd, bytes, length, 0);
    if (!code)
        code = file_sync(point, fd);
    file_close(fd);
    return code;
}

int file_replace(const char *point, const char *directory, const char *path, const void *bytes,
                 size_t length)
{
    char beside[4096];
    int written = snprintf(beside, sizeof(beside), "%s.new", path);
    if (written < 0 || (size_t)written >= sizeof(beside))
        return -ENAMETOOLONG;
    int code = file_write_new(point, beside, bytes, length);
    if (!code)
        code = file_rename(point, beside, path);
    if (!code)
        code = file_sync_directory(point, directory);
    return code;
}

int file_read_whole(const char *point, const char *path, void *into, size_t bytes_max,
                    size_t *ret_length)
{
    int fd;
    int code = file_open(point, path, O_RDONLY, 0, &fd);
    if (code)
        return code;
    uint64_t bytes = 0;
    code = file_size(fd, &bytes);
    if (!code && bytes > bytes_max)
        code = -EFBIG;
    if (!code)
        code = file_read_at(point, fd, into, (size_t)bytes, 0);
    file_close(fd);
    if (!code)
        *ret_length = (size_t)bytes;
    return code;
}
