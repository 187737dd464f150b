/* A file layer that writes down what reaches the disk: the journal of a run. Owner: tests/crash.
 *
 * Between disk_begin and disk_end every call of common/file.h goes to the real files below the
 * working directory and, if it changes anything, into the journal, in the order it happened; marks
 * of the test stand between. Threads of the code under test may call the layer. What the journal
 * says about durability is replay.h's business.
 *
 * Files are known by a number, not a name: names come and go. */
#pragma once

#include "file.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DISK_NAME_BYTES 64u
#define DISK_FILES_MAX 1024u
#define DISK_FDS_MAX 1024

enum disk_event_kind {
    DISK_CREATE,     /* name -> file */
    DISK_WRITE,      /* bytes at offset of file */
    DISK_RESIZE,     /* file is `offset` bytes long */
    DISK_SYNC,       /* file */
    DISK_RENAME,     /* name -> name_to, which is file from now on */
    DISK_UNLINK,     /* name */
    DISK_SYNC_NAMES, /* name: a directory, "" for the working directory */
    DISK_MARK,       /* of the test: number `offset`, with `length` */
};

struct disk_event {
    enum disk_event_kind kind;
    unsigned file;
    uint64_t offset;
    size_t length;
    uint8_t *bytes;
    char name[DISK_NAME_BYTES], name_to[DISK_NAME_BYTES];
};

/* A file as it was, durable, when the journal began. */
struct disk_base {
    char name[DISK_NAME_BYTES];
    uint8_t *bytes;
    size_t length;
};

/* Calls that can be made to fail, counted from 1. */
enum disk_call { DISK_CALL_WRITE, DISK_CALL_SYNC, DISK_CALL_RESIZE, DISK_CALL_NAME, DISK_CALLS };

struct disk_fault {
    enum disk_call call;
    unsigned long nth; /* 0: none */
    bool sticky;       /* and all later ones */
    int code;          /* negative errno */
    bool half;         /* a failing write has written its first half */
};

struct disk {
    struct disk_event *events;
    size_t events_count, events_capacity;
    struct disk_base bases[DISK_FILES_MAX]; /* file n < bases_count was there at the beginning */
    unsigned bases_count, files_count;
    struct disk_fault fault;
    unsigned long calls[DISK_CALLS];
    unsigned long failed;            /* calls that were made to fail */
    unsigned long after_failed_sync; /* writes and syncs of a file whose sync had failed */
};

/* The files in the working directory and its folder raft/ are the beginning. `fault` may be NULL.
 * One disk at a time. */
struct disk *disk_begin(const struct disk_fault *fault);
/* The layer is the system's again; the journal stays until disk_free. */
void disk_end(struct disk *disk);
void disk_free(struct disk *disk);
void disk_mark(struct disk *disk, uint64_t number, uint64_t value);
