#include "usage.h"

#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static FILE *usage_open(pid_t pid, const char *name, const char *mode)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
    return fopen(path, mode);
}

unsigned usage_kib(pid_t pid, const char *figure)
{
    char line[256];
    unsigned kib = 0;
    size_t length = strlen(figure);
    FILE *file = usage_open(pid, "status", "r");
    while (file && fgets(line, sizeof(line), file))
        if (!strncmp(line, figure, length) && line[length] == ':')
            kib = (unsigned)strtoul(line + length + 1, NULL, 10);
    if (file)
        (void)fclose(file);
    return kib;
}

void usage_forget_peak(pid_t pid)
{
    FILE *file = usage_open(pid, "clear_refs", "w");
    if (!file)
        return;
    fputs("5", file);
    (void)fclose(file);
}

unsigned long usage_cpu_ticks(pid_t pid)
{
    char line[1024];
    unsigned long user = 0, kernel = 0;
    FILE *file = usage_open(pid, "stat", "r");
    ck_assert_ptr_nonnull(file);
    ck_assert_ptr_nonnull(fgets(line, sizeof(line), file));
    (void)fclose(file);
    ck_assert_int_eq(sscanf(strrchr(line, ')'),
                            ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
                            &kernel),
                     2);
    return user + kernel;
}

unsigned usage_descriptors(pid_t pid)
{
    char path[64];
    unsigned count = 0;
    const struct dirent *entry;
    snprintf(path, sizeof(path), "/proc/%d/fd", pid);
    DIR *folder = opendir(path);
    ck_assert_ptr_nonnull(folder);
    while ((entry = readdir(folder)))
        count += entry->d_name[0] != '.';
    closedir(folder);
    return count;
}
