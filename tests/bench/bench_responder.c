/* The ceiling of any server on libmicrohttpd: answers every request with 204 (GET: 100 bytes), and
 * does nothing.
 *
 *   bench_responder PORT [suspend]
 *
 * With `suspend` each request is suspended and resumed at the end of the loop's turn, as a server
 * must that waits for somebody. One thread, epoll from outside, as httpd is. Owner: tests/bench. */
#include <arpa/inet.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAITING_MAX 4096u
#define IDLE_MS 1000u

enum phase { PHASE_HEAD, PHASE_BODY, PHASE_RESUMED };

static struct MHD_Response *nothing, *hundred;
static struct MHD_Connection *waiting[WAITING_MAX];
static unsigned waiting_count;
static bool suspends;

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection,
                                  const char *target, const char *method, const char *version,
                                  const char *body, size_t *body_bytes, void **ret_state)
{
    (void)context, (void)target, (void)version, (void)body;
    enum phase phase = (enum phase)(uintptr_t)*ret_state;
    if (phase == PHASE_HEAD || *body_bytes) {
        *body_bytes = 0;
        *ret_state = (void *)(uintptr_t)PHASE_BODY;
        return MHD_YES;
    }
    if (suspends && phase == PHASE_BODY && waiting_count < WAITING_MAX) {
        *ret_state = (void *)(uintptr_t)PHASE_RESUMED;
        MHD_suspend_connection(connection);
        waiting[waiting_count++] = connection;
        return MHD_YES;
    }
    bool gets = !strcmp(method, "GET");
    return MHD_queue_response(connection, gets ? MHD_HTTP_OK : MHD_HTTP_NO_CONTENT,
                              gets ? hundred : nothing);
}

static void run(struct MHD_Daemon *daemon)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_EPOLL_FD);
    struct pollfd ready = {.fd = info->epoll_fd, .events = POLLIN};
    for (;;) {
        MHD_UNSIGNED_LONG_LONG wait_ms = IDLE_MS;
        for (unsigned i = 0; i < waiting_count; i++)
            MHD_resume_connection(waiting[i]);
        waiting_count = 0;
        (void)MHD_run(daemon);
        if (waiting_count)
            continue;
        if (MHD_get_timeout(daemon, &wait_ms) != MHD_YES || wait_ms > IDLE_MS)
            wait_ms = IDLE_MS;
        if (wait_ms)
            (void)poll(&ready, 1, (int)wait_ms);
    }
}

int main(int argc, char **argv)
{
    static char bytes[100];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    address.sin_port = htons((uint16_t)(argc > 1 ? atoi(argv[1]) : 0));
    suspends = argc == 3 && !strcmp(argv[2], "suspend");
    if (!address.sin_port || argc > 3 || (argc == 3 && !suspends))
        return fprintf(stderr, "usage: %s PORT [suspend]\n", argv[0]), 2;
    memset(bytes, 'v', sizeof(bytes));
    nothing = MHD_create_response_from_buffer(0, "", MHD_RESPMEM_PERSISTENT);
    hundred = MHD_create_response_from_buffer(sizeof(bytes), bytes, MHD_RESPMEM_PERSISTENT);
    struct MHD_Daemon *daemon =
        MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_request, NULL,
                         MHD_OPTION_SOCK_ADDR, &address, MHD_OPTION_END);
    if (!daemon)
        return fprintf(stderr, "bench_responder: port %s cannot be had\n", argv[1]), 1;
    run(daemon);
    return 0;
}
