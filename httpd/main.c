/* conure-httpd: arguments, locks, sockets, the loop. */
#include "clock.h"
#include "config.h"
#include "datadir.h"
#include "httpd.h"
#include "inherit.h"
#include "inquiries.h"
#include "logger.h"
#include "message.h"
#include "reads.h"
#include "server.h"
#include "writes.h"

#include <signal.h>

static const struct config_program program = {
    .name = "conure-httpd",
    .purpose = "Serves the HTTP API of a ConureDB node. Started by conure-launch.",
};

static struct loop_timer drain_timer;
static uint64_t drain_until_ms;

/* ---- stopping: every connection gets its answer, with Connection: close ---- */

static void drain_look(void *context)
{
    struct httpd *httpd = context;
    uint64_t now_ms = loop_now_ms(httpd->loop);
    if (server_connections(httpd->server) == 0 || now_ms >= drain_until_ms)
        loop_stop(httpd->loop, EXIT_CODE_OK);
    else
        loop_timer_set(httpd->loop, &drain_timer, now_ms + 10, drain_look, httpd);
}

static void on_stop_signal(void *context, int signal_number)
{
    struct httpd *httpd = context;
    (void)signal_number;
    if (httpd->draining || !httpd->server) {
        loop_stop(
            httpd->loop,
            EXIT_CODE_OK); /* the second one hurries; one before serving has nothing to wait for */
        return;
    }
    httpd->draining = true;
    drain_until_ms = loop_now_ms(httpd->loop) + HTTPD_DRAIN_MS_MAX;
    server_drain(httpd->server);
    drain_look(httpd);
}

/* ---- the turn's end: the server's handlers fill the rooms, then each room sends ---- */

static void at_turn_end(void *context)
{
    struct httpd *httpd = context;
    server_run(httpd->server);
    writes_flush(httpd->writes);
    reads_flush(httpd->reads);
    inquiries_flush(httpd->inquiries);
    if (httpd->server_due) /* a room answered at once */
        loop_again(httpd->loop);
}

static int fail_start(const struct error *error)
{
    char reason[ERROR_TEXT_BYTES + 8];
    logger_error("start_failed", "reason=%s", logger_quoted(reason, sizeof(reason), error->text));
    return EXIT_CODE_FAILURE;
}

static int prepare(struct httpd *httpd, int *ret_listen_fd, struct error *error)
{
    int lock_fd;
    int code = loop_new(&httpd->loop);
    if (!code)
        code = loop_signal(httpd->loop, SIGTERM, on_stop_signal, httpd);
    if (!code)
        code = loop_signal(httpd->loop, SIGINT, on_stop_signal, httpd);
    if (code)
        return error_set_errno(error, code, "cannot set up the event loop");
    code = server_listen(httpd->config, ret_listen_fd, error);
    if (!code)
        code = datadir_enter(httpd->config->data_dir, error);
    if (!code)
        code = datadir_lock("httpd", LIMIT_LOCK_WAIT_MS, &lock_fd, error);
    return code;
}

/* Clients wait in the backlog until the node behind can serve them, so that a restart of httpd
 * shows no one a 503; not for long, so that a node without raftd says so. */
static void wait_for_edges(struct httpd *httpd)
{
    uint64_t until_ms = clock_monotonic_ms() + HTTPD_EDGES_MS_MAX;
    while (clock_monotonic_ms() < until_ms &&
           !(bus_client_is_up(httpd->raftd) && bus_client_is_up(httpd->storaged)))
        loop_turn(httpd->loop, 20);
}

static int start(struct httpd *httpd, int listen_fd, struct error *error)
{
    httpd->hello = hello_of(PROTO_ROLE_HTTPD, clock_boot_epoch(), httpd->config->node_id);
    httpd->writes = writes_new(httpd);
    httpd->reads = reads_new(httpd);
    httpd->inquiries = inquiries_new(httpd);
    int code = httpd_dial(httpd, error);
    if (!code)
        wait_for_edges(httpd);
    if (!code)
        code = server_new(&httpd->server, httpd, listen_fd, error);
    loop_at_turn_end(httpd->loop, at_turn_end, httpd);
    return code;
}

static int run(struct httpd *httpd)
{
    char address[LIMIT_ADDRESS_BYTES_MAX];
    config_address_format(&httpd->config->http_address, address, sizeof(address));
    logger_info("ready", "http_addr=%s", address);
    inherit_notify("READY=1");
    int exit_code = loop_run(httpd->loop);
    inherit_notify("STOPPING=1");
    logger_info("stopped", "connections_left=%u", server_connections(httpd->server));
    return exit_code; /* the system closes what is left: requests that still wait cannot be taken
                         from the library */
}

int main(int argc, char **argv)
{
    static struct config config;
    static struct httpd httpd;
    struct error error = {""};
    int listen_fd = -1;
    config_load_or_exit(&config, &program, argc, argv);
    logger_start("httpd");
    (void)signal(SIGPIPE, SIG_IGN);
    httpd.config = &config;
    int code = prepare(&httpd, &listen_fd, &error);
    if (!code)
        code = start(&httpd, listen_fd, &error);
    return code ? fail_start(&error) : run(&httpd);
}
