#define LOG_MUTANT_OWN
#include "log_mutant.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

const char *log_mutant_point;

static bool left_out(const char *point)
{
    return log_mutant_point && !strcmp(point, log_mutant_point);
}

int log_mutant_sync(const char *point, int fd)
{
    return left_out(point) ? 0 : file_sync(point, fd);
}

int log_mutant_sync_directory(const char *point, const char *path)
{
    return left_out(point) ? 0 : file_sync_directory(point, path);
}

/* As file_replace, without its syncs. */
int log_mutant_replace(const char *point, const char *directory, const char *path,
                       const void *bytes, size_t length)
{
    char beside[256];
    int fd;
    if (!left_out(point))
        return file_replace(point, directory, path, bytes, length);
    snprintf(beside, sizeof(beside), "%s.new", path);
    int code = file_open(point, beside, O_WRONLY | O_CREAT | O_TRUNC, 0600, &fd);
    if (code)
        return code;
    code = file_write_at(point, fd, bytes, length, 0);
    file_close(fd);
    return code ? code : file_rename(point, beside, path);
}
