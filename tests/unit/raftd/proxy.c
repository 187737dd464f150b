#include "proxy.h"

#include "buffer.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define TICK_MS 10u
#define STALL_BYTES (512u << 10)

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int listen_on(uint16_t port, uint16_t *ret_port)
{
    struct sockaddr_in address = loopback(port);
    socklen_t bytes = sizeof(address);
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ck_assert_int_ge(fd, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    ck_assert_int_eq(listen(fd, 128), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &bytes), 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

uint16_t proxy_free_port(void)
{
    uint16_t port;
    close(listen_on(0, &port));
    return port;
}

/* ---- pairs ---- */

static void pair_close(struct proxy_pair *pair)
{
    struct proxy *proxy = pair->proxy;
    for (unsigned i = 0; i < 2; i++) {
        loop_unwatch(proxy->loop, pair->ends[i].source);
        close(pair->ends[i].fd);
    }
    for (unsigned i = 0; i < PROXY_PAIRS_MAX; i++)
        if (proxy->pairs[i] == pair)
            proxy->pairs[i] = NULL;
    free(pair);
}

static bool is_stalled(const struct proxy_pair *pair)
{
    return pair->proxy->mode == PROXY_STALL && pair->carried_bytes > STALL_BYTES;
}

static void end_watch(struct proxy_end *end)
{
    const struct proxy *proxy = end->pair->proxy;
    bool reads = !is_stalled(end->pair) && !end->length && !proxy->bytes_per_tick;
    bool writes = end->other->length && !is_stalled(end->pair);
    ck_assert_int_eq(
        loop_watch_change(proxy->loop, end->source,
                          (reads ? (uint32_t)EPOLLIN : 0) | (writes ? (uint32_t)EPOLLOUT : 0)),
        0);
}

/* Writes what the other end read. False: that is over. */
static bool end_write(struct proxy_end *end)
{
    struct proxy_end *from = end->other;
    while (from->at < from->length) {
        ssize_t count = send(end->fd, from->bytes + from->at, from->length - from->at,
                             MSG_NOSIGNAL | MSG_DONTWAIT);
        if (count < 0)
            return errno == EAGAIN;
        from->at += (size_t)count;
    }
    from->length = from->at = 0;
    return true;
}

/* At most `bytes_max`. False: that is over. */
static bool end_read(struct proxy_end *end, size_t bytes_max)
{
    ssize_t count = recv(end->fd, end->bytes, bytes_max, MSG_DONTWAIT);
    if (count <= 0)
        return count < 0 && errno == EAGAIN;
    end->is_lossy = end->is_lossy || end->pair->proxy->mode == PROXY_SWALLOW;
    if (end->is_lossy)
        return true;
    end->length = (size_t)count;
    end->pair->carried_bytes += (uint64_t)count;
    return end_write(end->other);
}

static void end_on_ready(void *context, uint32_t events)
{
    struct proxy_end *end = context;
    struct proxy_pair *pair = end->pair;
    bool is_open = true;
    if (events & EPOLLOUT)
        is_open = end_write(end);
    if (is_open && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && !end->length && !is_stalled(pair))
        is_open = end_read(end, sizeof(end->bytes));
    if (!is_open) {
        pair_close(pair);
        return;
    }
    end_watch(&pair->ends[0]);
    end_watch(&pair->ends[1]);
}

static void pair_open(struct proxy *proxy, int accepted)
{
    struct sockaddr_in address = loopback(proxy->target);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    unsigned place = 0;
    while (place < PROXY_PAIRS_MAX && proxy->pairs[place])
        place++;
    ck_assert_uint_lt(place, PROXY_PAIRS_MAX);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) { /* nobody is there */
        close(fd);
        close(accepted);
        return;
    }
    struct proxy_pair *pair = proxy->pairs[place] = memory_new_zeroed(1, sizeof(*pair));
    pair->proxy = proxy;
    const int fds[2] = {accepted, fd};
    for (unsigned i = 0; i < 2; i++) {
        struct proxy_end *end = &pair->ends[i];
        *end = (struct proxy_end){.pair = pair, .other = &pair->ends[1 - i], .fd = fds[i]};
        ck_assert_int_eq(loop_watch(proxy->loop, end->fd, 0, end_on_ready, end, &end->source), 0);
    }
    end_watch(&pair->ends[0]);
    end_watch(&pair->ends[1]);
}

/* ---- the proxy ---- */

static void on_acceptable(void *context, uint32_t events)
{
    struct proxy *proxy = context;
    (void)events;
    int fd = accept4(proxy->fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return;
    proxy->accepted++;
    pair_open(proxy, fd);
}

void proxy_open(struct proxy *proxy, struct loop *loop, uint16_t target)
{
    *proxy = (struct proxy){.loop = loop, .target = target};
    proxy->fd = listen_on(0, &proxy->port);
    ck_assert_int_eq(loop_watch(loop, proxy->fd, EPOLLIN, on_acceptable, proxy, &proxy->source), 0);
}

void proxy_set_mode(struct proxy *proxy, enum proxy_mode mode)
{
    proxy->mode = mode;
    for (unsigned i = 0; i < PROXY_PAIRS_MAX; i++)
        for (unsigned end = 0; proxy->pairs[i] && end < 2; end++)
            end_watch(&proxy->pairs[i]->ends[end]);
}

static void on_tick(void *context)
{
    struct proxy *proxy = context;
    uint64_t now_ms = loop_now_ms(proxy->loop);
    size_t bytes_max = proxy->bytes_per_tick * (now_ms - proxy->ticked_ms) / TICK_MS;
    proxy->ticked_ms = now_ms;
    if (bytes_max > sizeof(proxy->pairs[0]->ends[0].bytes))
        bytes_max = sizeof(proxy->pairs[0]->ends[0].bytes);
    for (unsigned i = 0; i < PROXY_PAIRS_MAX; i++) {
        struct proxy_pair *pair = proxy->pairs[i];
        bool is_open = true;
        for (unsigned end = 0; pair && is_open && end < 2; end++)
            if (bytes_max && !pair->ends[end].length)
                is_open = end_read(&pair->ends[end], bytes_max);
        if (!is_open)
            pair_close(pair);
    }
    loop_timer_set(proxy->loop, &proxy->tick, now_ms + TICK_MS, on_tick, proxy);
}

void proxy_slow_down(struct proxy *proxy, uint64_t bytes_per_tick)
{
    proxy->bytes_per_tick = bytes_per_tick;
    proxy->ticked_ms = loop_now_ms(proxy->loop);
    proxy_set_mode(proxy, proxy->mode);
    on_tick(proxy);
}

void proxy_close(struct proxy *proxy)
{
    loop_timer_cancel(proxy->loop, &proxy->tick);
    loop_unwatch(proxy->loop, proxy->source);
    close(proxy->fd);
    for (unsigned i = 0; i < PROXY_PAIRS_MAX; i++)
        if (proxy->pairs[i])
            pair_close(proxy->pairs[i]);
}
