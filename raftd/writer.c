#include "writer.h"

#include "buffer.h"
#include "file.h"

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
                       overwrites it */

struct writer {
    struct loop *loop;
    writer_done_fn *on_done;
    void *context;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool busy, done, stop; /* the hand-over: guarded by the mutex */
    struct writer_job job;
    int code;
    int done_fd;
    struct loop_source *source;
    bool prepared; /* the thread's own */
};

/* ---- on the thread ---- */

static int writer_open_segment(struct writer *writer, struct writer_job *job)
{
    bool usual = job->file_bytes == SEGMENT_BYTES;
    int code = 0;
    if (!usual || !writer->prepared)
        code = segment_prepare(PREPARED_PATH, job->file_bytes);
    writer->prepared = false;
    if (!code)
        code = file_open("log.create", PREPARED_PATH, O_RDWR, 0, &job->fd);
    return code;
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
        code = file_sync("log.sync", job->fd);
    if (!code && fresh)
        code = file_rename("log.rename", PREPARED_PATH, job->path);
    if (!code && fresh)
        code = file_sync_directory("log.rename", "raft");
    return code;
}

static void writer_prepare_ahead(struct writer *writer, const struct writer_job *job)
{
    if (!writer->prepared && job->offset + job->length > SEGMENT_BYTES / 2)
        writer->prepared = segment_prepare(PREPARED_PATH, SEGMENT_BYTES) == 0;
}

static void *writer_thread(void *context)
{
    struct writer *writer = context;
    (void)pthread_mutex_lock(&writer->mutex);
    while (!writer->stop || writer->busy) {
        if (!writer->busy) {
            (void)pthread_cond_wait(&writer->changed, &writer->mutex);
            continue;
        }
        struct writer_job job = writer->job;
        (void)pthread_mutex_unlock(&writer->mutex);
        int code = writer_do(writer, &job);
        (void)pthread_mutex_lock(&writer->mutex);
        writer->code = code;
        writer->job.fd = job.fd;
        writer->busy = false;
        writer->done = true;
        (void)pthread_cond_broadcast(&writer->changed);
        uint64_t one = 1;
        (void)!write(writer->done_fd, &one, sizeof(one));
        if (!code && !writer->stop) {
            (void)pthread_mutex_unlock(&writer->mutex);
            writer_prepare_ahead(writer, &job);
            (void)pthread_mutex_lock(&writer->mutex);
        }
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
    bool done = writer->done;
    int code = writer->code, fd = writer->job.fd;
    writer->done = false;
    (void)pthread_mutex_unlock(&writer->mutex);
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
    (void)pthread_cond_broadcast(&writer->changed);
    (void)pthread_mutex_unlock(&writer->mutex);
}

int writer_new(struct writer **ret_writer, struct loop *loop, writer_done_fn *on_done,
               void *context)
{
    struct writer *writer = memory_new_zeroed(1, sizeof(*writer));
    writer->loop = loop;
    writer->on_done = on_done;
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
