/* Real input: every record of `apt-cache dumpavail`, or where there are few, generated ones of that
 * shape (a few hundred bytes to several KiB of UTF-8). */
#pragma once

#include <stddef.h>

struct record_pair {
    char key[160];
    const char *value;
    size_t value_bytes;
};

struct records {
    char *text; /* owns the values */
    struct record_pair *pairs;
    size_t count;
};

/* At most `count_max` of them (0: all). */
void records_load(struct records *records, size_t count_max);
void records_free(struct records *records);
