/* The log's one writer thread: takes a batch, writes and syncs it, rings. Owner: raftd.
 *
 * One batch is on its way at a time; the loop collects the next meanwhile (group commit). Between
 * batches it prepares the next segment's file, so that a new segment costs a rename. */
#pragma once

#include "loop.h"
#include "segment.h"

struct writer;

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

int writer_new(struct writer **ret_writer, struct loop *loop, writer_done_fn *on_done,
               void *context);
/* Not while a job is under way. */
void writer_start(struct writer *writer, const struct writer_job *job);
/* Waits until no job is under way; on_done is called from here for the last one. */
void writer_wait(struct writer *writer);
/* Waits for the job under way; on_done is not called for it. */
void writer_free(struct writer *writer);
