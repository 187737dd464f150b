#include "proxy.h"

#include "forward.h"
#include "logger.h"
#include "loop.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

struct proxy {
    struct forwards forwards;
    CURLM *multi;
    struct loop_timer timer;
};

/* A socket that libcurl wants watched. */
struct proxy_socket {
    struct proxy *proxy;
    curl_socket_t fd;
    struct loop_source *source;
};

static struct loop *proxy_loop(const struct proxy *proxy)
{
    return proxy->forwards.httpd->loop;
}

/* ---- libcurl in the loop ---- */

static void proxy_collect(struct proxy *proxy)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(proxy->multi, &left)))
        forward_on_done(message->easy_handle, message->data.result);
}

static void proxy_act(struct proxy *proxy, curl_socket_t fd, int events)
{
    int running;
    (void)curl_multi_socket_action(proxy->multi, fd, events, &running);
    proxy_collect(proxy);
}

static void proxy_on_ready(void *context, uint32_t epoll_events)
{
    struct proxy_socket *socket = context; /* may be gone behind proxy_act */
    int events = 0;
    if (epoll_events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        events |= CURL_CSELECT_IN;
    if (epoll_events & (EPOLLOUT | EPOLLERR))
        events |= CURL_CSELECT_OUT;
    proxy_act(socket->proxy, socket->fd, events);
}

static void proxy_on_timer(void *context)
{
    proxy_act(context, CURL_SOCKET_TIMEOUT, 0);
}

static int proxy_set_timer(CURLM *multi, long wait_ms, void *context)
{
    struct proxy *proxy = context;
    struct loop *loop = proxy_loop(proxy);
    (void)multi;
    if (wait_ms < 0)
        loop_timer_cancel(loop, &proxy->timer);
    else
        loop_timer_set(loop, &proxy->timer, loop_now_ms(loop) + (uint64_t)wait_ms, proxy_on_timer,
                       proxy);
    return 0;
}

static int proxy_set_socket(CURL *curl, curl_socket_t fd, int what, void *context,
                            void *socket_context)
{
    struct proxy *proxy = context;
    struct proxy_socket *socket = socket_context;
    struct loop *loop = proxy_loop(proxy);
    uint32_t events = (what & CURL_POLL_IN ? EPOLLIN : 0u) | (what & CURL_POLL_OUT ? EPOLLOUT : 0u);
    int code;
    (void)curl;
    if (what == CURL_POLL_REMOVE) {
        if (socket)
            loop_unwatch(loop, socket->source);
        free(socket);
        return 0;
    }
    if (socket)
        return loop_watch_change(loop, socket->source, events) ? -1 : 0;
    socket = memory_new_zeroed(1, sizeof(*socket));
    socket->proxy = proxy;
    socket->fd = fd;
    code = loop_watch(loop, fd, events, proxy_on_ready, socket, &socket->source);
    if (code) {
        logger_error("proxy_socket", "errno=%d", -code);
        free(socket);
        return -1; /* libcurl ends what it has under way */
    }
    (void)curl_multi_assign(proxy->multi, fd, socket);
    return 0;
}

/* ---- life ---- */

#define SET_MULTI(option, value) (!curl_multi_setopt(proxy->multi, option, value))

static bool proxy_prepare(struct proxy *proxy)
{
    proxy->forwards.multi = proxy->multi = curl_multi_init();
    return proxy->multi && SET_MULTI(CURLMOPT_SOCKETFUNCTION, proxy_set_socket) &&
           SET_MULTI(CURLMOPT_SOCKETDATA, proxy) &&
           SET_MULTI(CURLMOPT_TIMERFUNCTION, proxy_set_timer) &&
           SET_MULTI(CURLMOPT_TIMERDATA, proxy) &&
           SET_MULTI(CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING) &&
           SET_MULTI(CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)HTTPD_FORWARD_CONNECTIONS_MAX) &&
           SET_MULTI(CURLMOPT_MAXCONNECTS, (long)HTTPD_FORWARD_CONNECTIONS_MAX);
}

int proxy_new(struct proxy **ret_proxy, struct httpd *httpd, struct error *error)
{
    if (curl_global_init(CURL_GLOBAL_NOTHING)) /* no TLS */
        return error_set(error, -ENOMEM, "cannot set up libcurl");
    struct proxy *proxy = memory_new_zeroed(1, sizeof(*proxy));
    forwards_init(&proxy->forwards, httpd);
    if (!proxy_prepare(proxy)) {
        proxy_free(proxy);
        return error_set(error, -ENOMEM, "cannot set up libcurl");
    }
    *ret_proxy = proxy;
    return 0;
}

void proxy_forward(struct proxy *proxy, struct request *request, const char *leader_url,
                   uint64_t wait_ms)
{
    forward_request(&proxy->forwards, request, leader_url, wait_ms);
}

struct forward *proxy_begin_upload(struct proxy *proxy, struct request *request,
                                   const char *leader_url)
{
    return forward_begin_upload(&proxy->forwards, request, leader_url);
}

unsigned proxy_forwards(const struct proxy *proxy)
{
    return proxy->forwards.count;
}

void proxy_finish(struct proxy *proxy)
{
    forwards_finish(&proxy->forwards);
}

void proxy_free(struct proxy *proxy)
{
    if (!proxy)
        return;
    if (proxy->multi)
        (void)curl_multi_cleanup(proxy->multi); /* may still call proxy_set_socket */
    loop_timer_cancel(proxy_loop(proxy), &proxy->timer);
    loop_timer_cancel(proxy_loop(proxy), &proxy->forwards.room_timer);
    free(proxy);
    curl_global_cleanup();
}
