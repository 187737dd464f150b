#include "writer.h"

#include "buffer.h"
#include "file.h"
#include "limits.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define PREPARED_PATH                                                                              \
    "raft/next.log" /* never a segment's name: a start ignores it and the next preparation         \
                       overwrites it, in its blocks */

struct writer {
    struct loop *loop;
    writer_done_fn *on_done;
    writer_spare_fn *on_spare;
    void *context;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool busy, done, stop; /* the hand-over: guarded by the mutex */
    bool wants_spare, spare_tried;
    bool is_past_half; /* the thread's own: the newest file */
    enum writer_spare spare;
    struct writer_job job;
    int code;
    int done_fd;
    struct loop_source *source;
};

/* ---- on the thread ---- */

/* What the log cut off last serves again, if the disk has no other room. */
static int with_recycled(int (*make)(const char *path, uint64_t bytes), uint64_t bytes)
{
    (void)file_rename("log.create", WRITER_RECYCLED_PATH, PREPARED_PATH);
    return make(PREPARED_PATH, bytes);
}

/* New blocks are not taken out of what storaged has for deletes. */
static int reserve(const char *path, uint64_t bytes)
{
    uint64_t free_bytes, bytes_had = 0;
    int fd;
    if (!file_open("log.create", path, O_RDONLY, 0, &fd)) {
        (void)file_size(fd, &bytes_had);
        file_close(fd);
    }
    if (bytes_had < bytes && !file_free_bytes("log.space", ".", &free_bytes) &&
        free_bytes < bytes - bytes_had + LIMIT_DISK_RESERVE_BYTES)
        return -ENOSPC;
    return segment_reserve(path, bytes);
}

static int prepare(const char *path, uint64_t bytes)
{
    int code = reserve(path, bytes);
    return code ? code : segment_prepare(path, bytes);
}

static int writer_open_segment(struct writer *writer, struct writer_job *job)
{
    bool usual = job->file_bytes == SEGMENT_BYTES;
    int code = 0;
    (void)pthread_mutex_lock(&writer->mutex);
    bool is_ready = writer->spare == WRITER_SPARE_READY;
    writer->spare = WRITER_SPARE_LATER;
    (void)pthread_mutex_unlock(&writer->mutex);
    if (!usual || !is_ready)
        code = with_recycled(segment_prepare, job->file_bytes);
    if (!code)
        code = file_open("log.create", PREPARED_PATH, O_RDWR, 0, &job->fd);
    return code;
}

/* A failed sync says nothing about what is on the disk, so it is never tried again, not even for
 * want of space (invariant 7). */
static int writer_sync(int fd)
{
    int code = file_sync("log.sync", fd);
    return code == -ENOSPC || code == -EDQUOT ? -EIO : code;
}

/* A new segment gets its name only when its header and first batch are durable: a file with a log's
 * name is always a log. */
static int writer_do(struct writer *writer, struct writer_job *job)
{
    bool fresh = job->fd < 0;
    int code = fresh ? writer_open_segment(writer, job) : 0;
    if (!code)
        code = file_write_at("log.write", job->fd, job->bytes, job->length, job->offset);
    if (!code)
        code = writer_sync(job->fd);
    if (!code && fresh)
        code = file_rename("log.rename", PREPARED_PATH, job->path);
    if (!code && fresh)
        code = file_sync_directory("log.rename", "raft");
    if (code && fresh && job->fd >= 0) { /* tried again, it is opened again */
        file_close(job->fd);
        job->fd = -1;
    }
    return code;
}

/* The blocks of the next file are had while the newest is nearly empty, so that on a full disk
 * there is a file's worth for what may use the reserve; they are written when it is half full. */
static void writer_note_spare(struct writer *writer, const struct writer_job *job)
{
    writer->is_past_half = job->offset + job->length > SEGMENT_BYTES / 2;
    if (writer->spare == WRITER_SPARE_LATER ||
        (writer->spare == WRITER_SPARE_RESERVED && writer->is_past_half))
        writer->wants_spare = true;
}

/* With the mutex held, and let go meanwhile: the loop, once rung for, takes it. */
static void writer_ring(struct writer *writer)
{
    uint64_t one = 1;
    (void)pthread_mutex_unlock(&writer->mutex);
    (void)!write(writer->done_fd, &one, sizeof(one));
    (void)pthread_mutex_lock(&writer->mutex);
}

/* Both with the mutex held, and let go while they work. */
static void writer_work(struct writer *writer)
{
    struct writer_job job = writer->job;
    (void)pthread_mutex_unlock(&writer->mutex);
    int code = writer_do(writer, &job);
    (void)pthread_mutex_lock(&writer->mutex);
    writer->code = code;
    writer->job.fd = job.fd;
    writer->busy = false;
    writer->done = true;
    if (!code)
        writer_note_spare(writer, &job);
    (void)pthread_cond_broadcast(&writer->changed);
    writer_ring(writer);
}

static void writer_make_spare(struct writer *writer)
{
    writer->wants_spare = false;
    if (writer->spare == WRITER_SPARE_READY)
        return;
    bool whole = writer->is_past_half;
    (void)pthread_mutex_unlock(&writer->mutex);
    int code = with_recycled(whole ? prepare : reserve, SEGMENT_BYTES);
    (void)pthread_mutex_lock(&writer->mutex);
    if (code)
        writer->spare = WRITER_SPARE_MISSING;
    else
        writer->spare = whole ? WRITER_SPARE_READY : WRITER_SPARE_RESERVED;
    writer->spare_tried = true;
    writer_ring(writer);
}

static void *writer_thread(void *context)
{
    struct writer *writer = context;
    (void)pthread_mutex_lock(&writer->mutex);
    while (!writer->stop || writer->busy) {
        if (writer->wants_spare && !writer->stop && !(writer->busy && writer->spare_tried))
            writer_make_spare(writer);
        else if (writer->busy)
            writer_work(writer);
        else
            (void)pthread_cond_wait(&writer->changed, &writer->mutex);
    }
    (void)pthread_mutex_unlock(&writer->mutex);
    return NULL;
}

/* ---- on the loop ---- */

static void writer_take(struct writer *writer, bool wait)
{
    (void)pthread_mutex_lock(&writer->mutex);
    while (wait && writer->busy)
        (void)pthread_cond_wait(&writer->changed, &writer->mutex);
    bool done = writer->done, spare_tried = writer->spare_tried;
    int code = writer->code, fd = writer->job.fd;
    enum writer_spare spare = writer->spare;
    writer->done = writer->spare_tried = false;
    (void)pthread_mutex_unlock(&writer->mutex);
    if (spare_tried)
        writer->on_spare(writer->context, spare);
    if (done)
        writer->on_done(writer->context, code, fd);
}

static void writer_on_rung(void *context, uint32_t epoll_events)
{
    struct writer *writer = context;
    uint64_t count;
    (void)epoll_events;
    (void)!read(writer->done_fd, &count, sizeof(count));
    writer_take(writer, false);
}

void writer_wait(struct writer *writer)
{
    writer_take(writer, true);
}

void writer_start(struct writer *writer, const struct writer_job *job)
{
    (void)pthread_mutex_lock(&writer->mutex);
    writer->job = *job;
    writer->busy = true;
    (void)pthread_mutex_unlock(&writer->mutex);
    (void)pthread_cond_broadcast(&writer->changed); /* finds the mutex free */
}

void writer_want_spare(struct writer *writer)
{
    (void)pthread_mutex_lock(&writer->mutex);
    writer->wants_spare = true;
    (void)pthread_cond_broadcast(&writer->changed);
    (void)pthread_mutex_unlock(&writer->mutex);
}

int writer_new(struct writer **ret_writer, struct loop *loop, writer_done_fn *on_done,
               writer_spare_fn *on_spare, void *context)
{
    struct writer *writer = memory_new_zeroed(1, sizeof(*writer));
    writer->loop = loop;
    writer->on_done = on_done;
    writer->on_spare = on_spare;
    writer->context = context;
    (void)pthread_mutex_init(&writer->mutex, NULL);
    (void)pthread_cond_init(&writer->changed, NULL);
    writer->done_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    int code = writer->done_fd < 0 ? -errno : 0;
    if (!code)
        code = loop_watch(loop, writer->done_fd, EPOLLIN, writer_on_rung, writer, &writer->source);
    if (!code)
        code = -pthread_create(&writer->thread, NULL, writer_thread, writer);
    if (code) {
        free(writer);
        return code;
    }
    *ret_writer = writer;
    return 0;
}

void writer_free(struct writer *writer)
{
    (void)pthread_mutex_lock(&writer->mutex);
    writer->stop = true;
    (void)pthread_cond_broadcast(&writer->changed);
    (void)pthread_mutex_unlock(&writer->mutex);
    (void)pthread_join(writer->thread, NULL);
    loop_unwatch(writer->loop, writer->source);
    (void)close(writer->done_fd);
    (void)pthread_cond_destroy(&writer->changed);
    (void)pthread_mutex_destroy(&writer->mutex);
    free(writer);
}
