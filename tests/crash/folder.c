#include "folder.h"

#include "file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[FOLDER_PATH_BYTES / 2];

static void must(int result, const char *what)
{
    if (result == 0)
        return;
    perror(what);
    abort();
}

void folder_begin(void)
{
    const char *where = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : getenv("TMPDIR");
    snprintf(root, sizeof(root), "%s/conure-crash-XXXXXX", where ? where : "/tmp");
    must(!mkdtemp(root), root);
}

void folder_end(void)
{
    folder_remove(root);
}

void folder_name(char path[FOLDER_PATH_BYTES], const char *kind, unsigned number)
{
    snprintf(path, FOLDER_PATH_BYTES, "%s/%s-%u", root, kind, number);
}

void folder_make(const char *path)
{
    char raft[FOLDER_PATH_BYTES + 8];
    must(mkdir(path, 0700), path);
    snprintf(raft, sizeof(raft), "%s/raft", path);
    if (strstr(path, "/live-"))
        must(mkdir(raft, 0700), raft);
}

/* Not more than three levels, and nothing but what a test made. */
void folder_remove(const char *path)
{
    char inner[1024];
    DIR *directory = opendir(path);
    for (struct dirent *entry = directory ? readdir(directory) : NULL; entry;
         entry = readdir(directory)) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        snprintf(inner, sizeof(inner), "%s/%s", path, entry->d_name);
        if (unlink(inner) && (errno == EISDIR || errno == EPERM))
            folder_remove(inner);
    }
    if (directory)
        (void)closedir(directory);
    must(rmdir(path), path);
}

static void copy_file(const char *from, const char *to)
{
    static char bytes[1 << 16];
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    must(in < 0 || out < 0, from);
    for (ssize_t part = read(in, bytes, sizeof(bytes)); part > 0;
         part = read(in, bytes, sizeof(bytes)))
        must(write(out, bytes, (size_t)part) != part, to);
    (void)close(in);
    (void)close(out);
}

static void copy_files(const char *folder, const char *path)
{
    char from[512], to[1024];
    struct stat status;
    DIR *directory = opendir(folder);
    for (struct dirent *entry = directory ? readdir(directory) : NULL; entry;
         entry = readdir(directory)) {
        snprintf(from, sizeof(from), "%s/%s", folder, entry->d_name);
        snprintf(to, sizeof(to), "%s/%s", path, from);
        if (!stat(from, &status) && S_ISREG(status.st_mode))
            copy_file(from, to);
    }
    if (directory)
        (void)closedir(directory);
}

void folder_copy_here(const char *path)
{
    folder_make(path);
    copy_files(".", path);
    copy_files("raft", path);
}

void folder_enter(const char *path, char ret_here[FOLDER_PATH_BYTES])
{
    must(!getcwd(ret_here, FOLDER_PATH_BYTES), "getcwd");
    must(chdir(path), path);
}

void folder_leave(const char *here)
{
    must(chdir(here), here);
}

/* ---- the guard ---- */

static unsigned long guard_changes;

static int guard_open(const char *path, int flags, unsigned mode)
{
    if (!(flags & (O_CREAT | O_TRUNC)))
        return file_layer_system.open(path, flags, mode);
    guard_changes++;
    return -EROFS;
}

static long guard_write_at(int fd, const struct iovec *parts, int parts_count, uint64_t offset)
{
    (void)fd, (void)parts, (void)parts_count, (void)offset;
    guard_changes++;
    return -EROFS;
}

static int guard_fd(int fd)
{
    (void)fd;
    return 0;
}

static int guard_resize(int fd, uint64_t bytes)
{
    (void)fd, (void)bytes;
    guard_changes++;
    return -EROFS;
}

static int guard_allocate(int fd, uint64_t offset, uint64_t bytes)
{
    (void)offset;
    return guard_resize(fd, bytes);
}

static int guard_rename(const char *from, const char *to)
{
    (void)from, (void)to;
    guard_changes++;
    return -EROFS;
}

static int guard_unlink(const char *path)
{
    return guard_rename(path, path);
}

unsigned long folder_guard_begin(void)
{
    static struct file_layer guard;
    guard = file_layer_system;
    guard.open = guard_open;
    guard.write_at = guard_write_at;
    guard.sync = guard.sync_full = guard_fd;
    guard.resize = guard_resize;
    guard.allocate = guard_allocate;
    guard.rename = guard_rename;
    guard.unlink = guard_unlink;
    file_layer = &guard;
    guard_changes = 0;
    return 0;
}

unsigned long folder_guard_end(void)
{
    file_layer = &file_layer_system;
    return guard_changes;
}
