#include "datadir.h"

#include "clock.h"
#include "limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOCK_POLL_MS 20

static int directory_make(const char *path)
{
    if (mkdir(path, 0700) == 0 || errno == EEXIST)
        return 0;
    return -errno;
}

static int directory_make_with_parents(const char *path)
{
    char part[4096];
    size_t length = strlen(path);
    if (length == 0)
        return -ENOENT;
    if (length >= sizeof(part))
        return -ENAMETOOLONG;
    for (size_t i = 1; i <= length; i++) {
        if (i < length && path[i] != '/')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        int code = directory_make(part);
        if (code)
            return code;
    }
    return 0;
}

int datadir_enter(const char *path, struct error *error)
{
    int code = directory_make_with_parents(path);
    if (!code && chdir(path) < 0)
        code = -errno;
    if (code)
        return error_set_errno(error, code, "cannot use data directory %s", path);
    code = directory_make(DATADIR_RUN_PATH);
    if (!code && chmod(DATADIR_RUN_PATH, 0700) < 0)
        code = -errno;
    if (code)
        return error_set_errno(error, code, "cannot use %s/" DATADIR_RUN_PATH, path);
    return 0;
}

static int lock_wait(int fd, unsigned wait_ms)
{
    uint64_t until_ms = clock_monotonic_ms() + wait_ms;
    while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return -errno;
        if (clock_monotonic_ms() >= until_ms)
            return -EBUSY;
        struct timespec pause = {.tv_nsec = LOCK_POLL_MS * 1000000L};
        (void)nanosleep(&pause, NULL);
    }
    return 0;
}

static int lock_report_owner(int fd, const char *name, struct error *error)
{
    char pid[16] = "";
    ssize_t length = pread(fd, pid, sizeof(pid) - 1, 0);
    pid[length > 0 ? length : 0] = '\0';
    pid[strcspn(pid, "\n")] = '\0';
    return error_set(error, -EBUSY, "data directory is in use: %s is running there with pid %s",
                     name, pid[0] ? pid : "unknown");
}

static int lock_write_pid(int fd)
{
    char pid[16];
    int length = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, (size_t)length, 0) != length)
        return -EIO;
    return 0;
}

int datadir_guard(const char *path, const char *name, unsigned wait_ms, int *ret_fd,
                  struct error *error)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(error, -errno, "cannot open %s", path);
    int code = lock_wait(fd, wait_ms);
    if (!code) {
        *ret_fd = fd;
        return 0;
    }
    (void)close(fd);
    return code == -EBUSY ? error_set(error, code,
                                      "data directory is in use: another %s has locked %s (%s/ was "
                                      "removed under it)",
                                      name, path, DATADIR_RUN_PATH)
                          : error_set_errno(error, code, "cannot lock %s", path);
}

static int lock_take(const char *path, int flags, const char *name, unsigned wait_ms, int *ret_fd,
                     struct error *error)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set_errno(error, -errno, "cannot open lock file %s", path);
    int code = lock_wait(fd, wait_ms);
    if (code == -EBUSY)
        code = lock_report_owner(fd, name, error);
    else if (code)
        code = error_set_errno(error, code, "cannot lock %s", path);
    else if ((code = lock_write_pid(fd)))
        code = error_set_errno(error, code, "cannot write %s", path);
    if (code) {
        (void)close(fd);
        return code;
    }
    *ret_fd = fd;
    return 0;
}

int datadir_lock(const char *name, unsigned wait_ms, int *ret_fd, struct error *error)
{
    char path[64];
    snprintf(path, sizeof(path), DATADIR_RUN_PATH "/%s.lock", name);
    return lock_take(path, O_RDWR | O_CREAT, name, wait_ms, ret_fd, error);
}

int datadir_lock_outside(const char *directory, const char *name, int *ret_fd, struct error *error)
{
    char path[LIMIT_PATH_BYTES_MAX];
    int length = snprintf(path, sizeof(path), "%s/" DATADIR_RUN_PATH "/%s.lock", directory, name);
    if (length < 0 || (size_t)length >= sizeof(path))
        return error_set(error, -ENAMETOOLONG, "the path of %s is too long", directory);
    if (access(path, F_OK) < 0 && (errno == ENOENT || errno == ENOTDIR)) {
        *ret_fd = -1;
        return 0;
    }
    return lock_take(path, O_RDWR, name, 0, ret_fd, error);
}
