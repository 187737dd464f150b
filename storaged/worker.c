/* Two lists, both in order, guarded by the mutex: `waiting` (the first may be running) and
 * `finished`, which the loop takes as a whole when the eventfd says so. */
#include "worker.h"

#include "buffer.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct job_list {
    struct worker_job *first, *last;
};

struct worker {
    struct loop *loop;
    struct loop_source *source;
    int finished_fd;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct job_list waiting, finished;
    bool is_ending;
};

static void list_add(struct job_list *list, struct worker_job *job)
{
    job->next = NULL;
    if (list->last)
        list->last->next = job;
    else
        list->first = job;
    list->last = job;
}

static struct worker_job *list_take(struct job_list *list)
{
    struct worker_job *job = list->first;
    list->first = job->next;
    if (!list->first)
        list->last = NULL;
    return job;
}

/* ---- the thread ---- */

static void *worker_thread(void *context)
{
    struct worker *worker = context;
    (void)pthread_mutex_lock(&worker->mutex);
    while (!worker->is_ending) {
        struct worker_job *job = worker->waiting.first;
        if (!job) {
            (void)pthread_cond_wait(&worker->changed, &worker->mutex);
            continue;
        }
        (void)pthread_mutex_unlock(&worker->mutex);
        job->code = job->run(job->context);
        (void)pthread_mutex_lock(&worker->mutex);
        list_add(&worker->finished, list_take(&worker->waiting));
        uint64_t one = 1;
        (void)!write(worker->finished_fd, &one, sizeof(one));
        (void)pthread_cond_broadcast(&worker->changed);
    }
    (void)pthread_mutex_unlock(&worker->mutex);
    return NULL;
}

/* ---- the loop's side ---- */

void worker_give(struct worker *worker, struct worker_job *job)
{
    assert(!job->is_given);
    job->is_given = true;
    (void)pthread_mutex_lock(&worker->mutex);
    list_add(&worker->waiting, job);
    (void)pthread_cond_broadcast(&worker->changed);
    (void)pthread_mutex_unlock(&worker->mutex);
}

static void worker_tell(struct worker *worker)
{
    (void)pthread_mutex_lock(&worker->mutex);
    struct job_list finished = worker->finished;
    worker->finished = (struct job_list){0};
    (void)pthread_mutex_unlock(&worker->mutex);
    while (finished.first) {
        struct worker_job *job = list_take(&finished);
        job->is_given = false;
        job->done(job->context, job->code);
    }
}

static void worker_on_finished(void *context, uint32_t epoll_events)
{
    struct worker *worker = context;
    uint64_t count;
    (void)epoll_events;
    (void)!read(worker->finished_fd, &count, sizeof(count));
    worker_tell(worker);
}

static bool worker_wait(struct worker *worker)
{
    (void)pthread_mutex_lock(&worker->mutex);
    while (worker->waiting.first)
        (void)pthread_cond_wait(&worker->changed, &worker->mutex);
    bool some = worker->finished.first != NULL;
    (void)pthread_mutex_unlock(&worker->mutex);
    return some;
}

void worker_settle(struct worker *worker)
{
    while (worker_wait(worker))
        worker_tell(worker);
}

/* ---- life ---- */

int worker_new(struct worker **ret_worker, struct loop *loop)
{
    struct worker *worker = memory_new_zeroed(1, sizeof(*worker));
    worker->loop = loop;
    (void)pthread_mutex_init(&worker->mutex, NULL);
    (void)pthread_cond_init(&worker->changed, NULL);
    worker->finished_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    int code = worker->finished_fd < 0 ? -errno : 0;
    if (!code)
        code = loop_watch(loop, worker->finished_fd, EPOLLIN, worker_on_finished, worker,
                          &worker->source);
    if (!code)
        code = -pthread_create(&worker->thread, NULL, worker_thread, worker);
    if (code) {
        free(worker);
        return code;
    }
    *ret_worker = worker;
    return 0;
}

void worker_free(struct worker *worker)
{
    if (!worker)
        return;
    worker_settle(worker);
    (void)pthread_mutex_lock(&worker->mutex);
    worker->is_ending = true;
    (void)pthread_cond_broadcast(&worker->changed);
    (void)pthread_mutex_unlock(&worker->mutex);
    (void)pthread_join(worker->thread, NULL);
    loop_unwatch(worker->loop, worker->source);
    (void)close(worker->finished_fd);
    (void)pthread_cond_destroy(&worker->changed);
    (void)pthread_mutex_destroy(&worker->mutex);
    free(worker);
}
