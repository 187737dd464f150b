/* The log's one writer thread: takes a batch, writes and syncs it, rings. Owner: raftd.
 *
 * One batch is on its way at a time; the loop collects the next meanwhile (group commit). Between
 * batches it prepares the next segment's file (the spare), so that a new segment costs a rename,
 * and its room is had before the disk is full. */
#pragma once

#include "loop.h"
#include "segment.h"

struct writer;

#define WRITER_RECYCLED_PATH                                                                       \
    "raft/cut.log" /* a file that was cut: serves where there is no room                           \
                    */

/* The bytes must stay as they are until the job is done. */
struct writer_job {
    int fd; /* < 0: the file is to be made, of file_bytes, and named `path` */
    char path[SEGMENT_NAME_BYTES];
    uint64_t file_bytes;
    const uint8_t *bytes;
    size_t length;
    uint64_t offset;
};

/* `fd` is the job's, or that of the file made for it. */
typedef void writer_done_fn(void *context, int code, int fd);

enum writer_spare {
    WRITER_SPARE_LATER,    /* not asked for yet */
    WRITER_SPARE_RESERVED, /* its blocks are there */
    WRITER_SPARE_READY,    /* and written */
    WRITER_SPARE_MISSING,  /* there was no room for it */
};
/* From the loop: an attempt to prepare the spare has ended. */
typedef void writer_spare_fn(void *context, enum writer_spare spare);

int writer_new(struct writer **ret_writer, struct loop *loop, writer_done_fn *on_done,
               writer_spare_fn *on_spare, void *context);
/* Tries to prepare the spare, once it is idle. */
void writer_want_spare(struct writer *writer);
/* Not while a job is under way. */
void writer_start(struct writer *writer, const struct writer_job *job);
/* Waits until no job is under way; on_done is called from here for the last one. */
void writer_wait(struct writer *writer);
/* Waits for the job under way; on_done is not called for it. */
void writer_free(struct writer *writer);
