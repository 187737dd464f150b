/* The layer's calls run under one mutex, so that the journal's order is the disk's. Names are
 * compared as the code under test writes them: relative, without "./". */
#include "disk.h"

#include "buffer.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct open_file {
    bool open, directory;
    unsigned file;
    char name[DISK_NAME_BYTES]; /* of a directory */
};

static struct disk *disk_now;
static pthread_mutex_t disk_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct open_file open_files[DISK_FDS_MAX];
static char live_names[DISK_FILES_MAX][DISK_NAME_BYTES]; /* by file; "": it has none */
static bool sync_failed[DISK_FILES_MAX];

/* ---- the journal ---- */

static struct disk_event *journal_add(enum disk_event_kind kind)
{
    struct disk *disk = disk_now;
    if (disk->events_count == disk->events_capacity) {
        disk->events_capacity = disk->events_capacity ? disk->events_capacity * 2 : 256;
        disk->events = realloc(disk->events, disk->events_capacity * sizeof(*disk->events));
        if (!disk->events)
            abort();
    }
    struct disk_event *event = &disk->events[disk->events_count++];
    *event = (struct disk_event){.kind = kind};
    return event;
}

static void name_copy(char into[DISK_NAME_BYTES], const char *name)
{
    assert(strlen(name) < DISK_NAME_BYTES && name[0] != '/');
    memset(into, 0, DISK_NAME_BYTES);
    memcpy(into, !strcmp(name, ".") ? "" : name, strlen(!strcmp(name, ".") ? "" : name));
}

static int file_of_name(const char *name)
{
    for (unsigned file = 0; file < disk_now->files_count; file++)
        if (!strcmp(live_names[file], name))
            return (int)file;
    return -1;
}

static unsigned file_new(const char *name)
{
    assert(disk_now->files_count < DISK_FILES_MAX);
    unsigned file = disk_now->files_count++;
    name_copy(live_names[file], name);
    sync_failed[file] = false;
    return file;
}

/* Counts the call; the negative errno it is to fail with, or 0. */
static int fault_of(enum disk_call call)
{
    struct disk_fault *fault = &disk_now->fault;
    unsigned long n = ++disk_now->calls[call];
    bool hit =
        fault->nth && fault->call == call && (n == fault->nth || (fault->sticky && n > fault->nth));
    disk_now->failed += hit;
    return hit ? fault->code : 0;
}

static unsigned file_of_fd(int fd)
{
    assert(fd >= 0 && fd < DISK_FDS_MAX && open_files[fd].open && !open_files[fd].directory);
    return open_files[fd].file;
}

/* ---- the layer ---- */

static int disk_open_locked(const char *path, int flags, unsigned mode)
{
    int known = file_of_name(path);
    int code = (flags & O_CREAT) ? fault_of(DISK_CALL_NAME) : 0;
    int fd = code ? code : file_layer_system.open(path, flags, mode);
    if (fd < 0)
        return fd;
    assert(fd < DISK_FDS_MAX);
    open_files[fd] = (struct open_file){.open = true, .directory = flags & O_DIRECTORY};
    if (flags & O_DIRECTORY) {
        name_copy(open_files[fd].name, path);
        return fd;
    }
    bool made = known < 0;
    open_files[fd].file = made ? file_new(path) : (unsigned)known;
    if (made) {
        struct disk_event *event = journal_add(DISK_CREATE);
        event->file = open_files[fd].file;
        name_copy(event->name, path);
    } else if (flags & O_TRUNC) {
        journal_add(DISK_RESIZE)->file = open_files[fd].file;
    }
    return fd;
}

static int disk_close_locked(int fd)
{
    if (fd >= 0 && fd < DISK_FDS_MAX)
        open_files[fd].open = false;
    return file_layer_system.close(fd);
}

static long disk_write_locked(int fd, const struct iovec *parts, int parts_count, uint64_t offset)
{
    int code = fault_of(DISK_CALL_WRITE);
    size_t length = 0, limit;
    unsigned file = file_of_fd(fd);
    disk_now->after_failed_sync += sync_failed[file];
    if (code && !disk_now->fault.half)
        return code;
    for (int i = 0; i < parts_count; i++)
        length += parts[i].iov_len;
    limit = code ? length / 2 : length;
    uint8_t *bytes = memory_new(length);
    for (size_t i = 0, at = 0; i < (size_t)parts_count; at += parts[i++].iov_len)
        memcpy(bytes + at, parts[i].iov_base, parts[i].iov_len);
    struct iovec whole = {bytes, limit};
    long written = limit ? file_layer_system.write_at(fd, &whole, 1, offset) : 0;
    if (written <= 0) {
        free(bytes);
        return code ? code : written;
    }
    struct disk_event *event = journal_add(DISK_WRITE);
    event->file = file;
    event->offset = offset;
    event->length = (size_t)written;
    event->bytes = bytes;
    return code ? code : written;
}

static int disk_sync_locked(int fd)
{
    int code = fault_of(DISK_CALL_SYNC);
    if (open_files[fd].directory) {
        if (!code)
            name_copy(journal_add(DISK_SYNC_NAMES)->name, open_files[fd].name);
        return code;
    }
    unsigned file = file_of_fd(fd);
    disk_now->after_failed_sync += sync_failed[file];
    if (code)
        sync_failed[file] = true;
    else
        journal_add(DISK_SYNC)->file = file;
    return code;
}

static int disk_resize_locked(int fd, uint64_t bytes)
{
    int code = fault_of(DISK_CALL_RESIZE);
    code = code ? code : file_layer_system.resize(fd, bytes);
    if (code)
        return code;
    struct disk_event *event = journal_add(DISK_RESIZE);
    event->file = file_of_fd(fd);
    event->offset = bytes;
    return 0;
}

static int disk_allocate_locked(int fd, uint64_t offset, uint64_t bytes)
{
    uint64_t length = 0;
    int code = file_size(fd, &length);
    if (code || offset + bytes <= length)
        return code;
    return disk_resize_locked(fd, offset + bytes);
}

static int disk_rename_locked(const char *from, const char *to)
{
    int code = fault_of(DISK_CALL_NAME);
    code = code ? code : file_layer_system.rename(from, to);
    if (code)
        return code;
    int file = file_of_name(from), replaced = file_of_name(to);
    assert(file >= 0);
    if (replaced >= 0)
        live_names[replaced][0] = '\0';
    name_copy(live_names[file], to);
    struct disk_event *event = journal_add(DISK_RENAME);
    event->file = (unsigned)file;
    name_copy(event->name, from);
    name_copy(event->name_to, to);
    return 0;
}

static int disk_unlink_locked(const char *path)
{
    int code = fault_of(DISK_CALL_NAME);
    code = code ? code : file_layer_system.unlink(path);
    if (code)
        return code;
    int file = file_of_name(path);
    if (file >= 0)
        live_names[file][0] = '\0';
    name_copy(journal_add(DISK_UNLINK)->name, path);
    return 0;
}

#define LOCKED(type, call)                                                                         \
    (void)pthread_mutex_lock(&disk_mutex);                                                         \
    type result = (call);                                                                          \
    (void)pthread_mutex_unlock(&disk_mutex);                                                       \
    return result

static int disk_open(const char *path, int flags, unsigned mode)
{
    LOCKED(int, disk_open_locked(path, flags, mode));
}

static int disk_close(int fd)
{
    LOCKED(int, disk_close_locked(fd));
}

static long disk_read_at(int fd, void *bytes, size_t length, uint64_t offset)
{
    return file_layer_system.read_at(fd, bytes, length, offset);
}

static long disk_write_at(int fd, const struct iovec *parts, int parts_count, uint64_t offset)
{
    LOCKED(long, disk_write_locked(fd, parts, parts_count, offset));
}

static int disk_sync(int fd)
{
    LOCKED(int, disk_sync_locked(fd));
}

static int disk_resize(int fd, uint64_t bytes)
{
    LOCKED(int, disk_resize_locked(fd, bytes));
}

static int disk_allocate(int fd, uint64_t offset, uint64_t bytes)
{
    LOCKED(int, disk_allocate_locked(fd, offset, bytes));
}

static int disk_rename(const char *from, const char *to)
{
    LOCKED(int, disk_rename_locked(from, to));
}

static int disk_unlink(const char *path)
{
    LOCKED(int, disk_unlink_locked(path));
}

/* What was written may be on the disk at any time anyway. */
static int disk_flush(int fd, uint64_t offset, uint64_t bytes, unsigned flags)
{
    (void)fd, (void)offset, (void)bytes, (void)flags;
    return 0;
}

static const struct file_layer disk_layer = {
    .open = disk_open,
    .close = disk_close,
    .read_at = disk_read_at,
    .write_at = disk_write_at,
    .sync = disk_sync,
    .sync_full = disk_sync,
    .flush = disk_flush,
    .resize = disk_resize,
    .allocate = disk_allocate,
    .rename = disk_rename,
    .unlink = disk_unlink,
};

/* ---- life ---- */

static void disk_read_base(struct disk *disk, const char *name)
{
    struct disk_base *base = &disk->bases[file_new(name)];
    uint64_t length = 0;
    int fd;
    name_copy(base->name, name);
    if (file_open("test", name, O_RDONLY, 0, &fd) || file_size(fd, &length))
        abort();
    base->bytes = memory_new(length ? length : 1);
    base->length = length;
    if (file_read_at("test", fd, base->bytes, length, 0))
        abort();
    file_close(fd);
}

static void disk_read_folder(struct disk *disk, const char *folder)
{
    DIR *directory = opendir(folder[0] ? folder : ".");
    char name[512];
    struct stat status;
    for (struct dirent *entry = directory ? readdir(directory) : NULL; entry;
         entry = readdir(directory)) {
        snprintf(name, sizeof(name), "%s%s%s", folder, folder[0] ? "/" : "", entry->d_name);
        if (!stat(name, &status) && S_ISREG(status.st_mode))
            disk_read_base(disk, name);
    }
    if (directory)
        (void)closedir(directory);
}

struct disk *disk_begin(const struct disk_fault *fault)
{
    struct disk *disk = memory_new_zeroed(1, sizeof(*disk));
    assert(!disk_now);
    disk_now = disk;
    disk_read_folder(disk, "");
    disk_read_folder(disk, "raft");
    disk->bases_count = disk->files_count;
    if (fault)
        disk->fault = *fault;
    file_layer = &disk_layer;
    return disk;
}

void disk_end(struct disk *disk)
{
    assert(disk == disk_now);
    file_layer = &file_layer_system;
    disk_now = NULL;
}

void disk_free(struct disk *disk)
{
    for (size_t i = 0; i < disk->events_count; i++)
        free(disk->events[i].bytes);
    for (unsigned file = 0; file < disk->bases_count; file++)
        free(disk->bases[file].bytes);
    free(disk->events);
    free(disk);
}

void disk_mark(struct disk *disk, uint64_t number, uint64_t value)
{
    (void)pthread_mutex_lock(&disk_mutex);
    struct disk_event *event = journal_add(DISK_MARK);
    event->offset = number;
    event->length = value;
    (void)pthread_mutex_unlock(&disk_mutex);
    (void)disk;
}
