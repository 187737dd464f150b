#include "lingerers.h"

#include "buffer.h"
#include "httpd_limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct lingerer {
    struct lingerers *lingerers;
    int fd;
    struct loop_source *source;
    struct loop_timer timer;
    size_t bytes_left;
    bool used;
};

struct lingerers {
    struct loop *loop;
    struct lingerer each[HTTPD_LINGER_COUNT_MAX];
    unsigned count;
};

static void lingerer_end(void *context)
{
    struct lingerer *lingerer = context;
    struct loop *loop = lingerer->lingerers->loop;
    loop_timer_cancel(loop, &lingerer->timer);
    loop_unwatch(loop, lingerer->source);
    (void)close(lingerer->fd);
    lingerer->used = false;
    lingerer->lingerers->count--;
}

static void lingerer_on_ready(void *context, uint32_t epoll_events)
{
    static char dropped[64u << 10];
    struct lingerer *lingerer = context;
    (void)epoll_events;
    ssize_t length = recv(lingerer->fd, dropped, sizeof(dropped), MSG_DONTWAIT);
    if (length < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (length <= 0 || (size_t)length > lingerer->bytes_left) {
        lingerer_end(lingerer);
        return;
    }
    lingerer->bytes_left -= (size_t)length;
}

static struct lingerer *lingerers_find_free(struct lingerers *lingerers)
{
    for (unsigned i = 0; i < HTTPD_LINGER_COUNT_MAX; i++)
        if (!lingerers->each[i].used)
            return &lingerers->each[i];
    return NULL;
}

void lingerers_take(struct lingerers *lingerers, int fd)
{
    struct lingerer *lingerer = lingerers_find_free(lingerers);
    int own = lingerer ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
    if (own < 0)
        return;
    *lingerer = (struct lingerer){
        .lingerers = lingerers,
        .fd = own,
        .bytes_left = HTTPD_LINGER_BYTES_MAX,
    };
    if (loop_watch(lingerers->loop, own, EPOLLIN, lingerer_on_ready, lingerer, &lingerer->source)) {
        (void)close(own);
        return;
    }
    lingerer->used = true;
    lingerers->count++;
    loop_timer_set(lingerers->loop, &lingerer->timer,
                   loop_now_ms(lingerers->loop) + HTTPD_LINGER_MS_MAX, lingerer_end, lingerer);
}

bool lingerers_is_empty(const struct lingerers *lingerers)
{
    return lingerers->count == 0;
}

struct lingerers *lingerers_new(struct loop *loop)
{
    struct lingerers *lingerers = memory_new_zeroed(1, sizeof(*lingerers));
    lingerers->loop = loop;
    return lingerers;
}

void lingerers_free(struct lingerers *lingerers)
{
    for (unsigned i = 0; lingerers && i < HTTPD_LINGER_COUNT_MAX; i++)
        if (lingerers->each[i].used)
            lingerer_end(&lingerers->each[i]);
    free(lingerers);
}
