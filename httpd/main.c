/* conure-httpd: arguments, lock, socket, edges, the loop; SIGTERM drains. */
#include "changes.h"
#include "clock.h"
#include "config.h"
#include "datadir.h"
#include "dispatch.h"
#include "entropy.h"
#include "inherit.h"
#include "listener.h"
#include "logger.h"
#include "proxy.h"
#include "reads.h"
#include "scans.h"
#include "server.h"
#include "survey.h"
#include "watches.h"
#include "writes.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static const struct config_flag flags[] = {{NULL}};
static const struct config_program program = {
    .name = "conure-httpd",
    .purpose = "Serves the HTTP API of a ConureDB node. Started by conure-launch.",
    .flags = flags,
};

static int fail_start(const struct error *error)
{
    char reason[ERROR_TEXT_BYTES + 8];
    logger_error("start_failed", "reason=%s", logger_quoted(reason, sizeof(reason), error->text));
    return EXIT_CODE_FAILURE;
}

/* ---- turns ---- */

static void at_turn_end(void *context)
{
    struct httpd *httpd = context;
    server_run(httpd->server);
    writes_at_turn_end(httpd->writes);
    reads_at_turn_end(httpd->reads);
    scans_at_turn_end(httpd->scans);
    watches_at_turn_end(httpd->watches);
    survey_at_turn_end(httpd->survey);
    server_check(httpd->server);
}

/* ---- the end ---- */

/* Whoever still waits is answered now: 503, or 504 for writes that are under way. */
static void on_drained(void *context)
{
    struct httpd *httpd = context;
    writes_finish(httpd->writes);
    reads_finish(httpd->reads);
    scans_finish(httpd->scans);
    watches_finish(httpd->watches);
    changes_finish(httpd->changes);
    if (httpd->proxy)
        proxy_finish(httpd->proxy);
    survey_finish(httpd->survey);
    server_run(httpd->server);
    loop_stop(httpd->loop, EXIT_CODE_OK);
}

static void on_stop_signal(void *context, int signal_number)
{
    struct httpd *httpd = context;
    logger_info("draining", "signal=%d", signal_number);
    inherit_notify("STOPPING=1");
    server_drain(httpd->server, on_drained);
    watches_drain(httpd->watches);
}

/* ---- the beginning ---- */

static int prepare(struct httpd *httpd, struct error *error)
{
    int lock_fd;
    int code = loop_new(&httpd->loop);
    if (!code)
        code = loop_signal(httpd->loop, SIGTERM, on_stop_signal, httpd);
    if (!code)
        code = loop_signal(httpd->loop, SIGINT, on_stop_signal, httpd);
    if (code)
        return error_set_errno(error, code, "cannot set up the event loop");
    code = datadir_enter(httpd->config->data_dir, error);
    if (!code)
        code = datadir_lock("httpd", LIMIT_LOCK_WAIT_MS, &lock_fd, error);
    return code;
}

static int start(struct httpd *httpd, int *listen_fd, struct error *error)
{
    int code = 0;
    httpd->hello = hello_of(PROTO_ROLE_HTTPD, entropy_number(), httpd->config->node_id);
    if (*listen_fd < 0)
        code = listener_open(&httpd->config->http_address, listen_fd, error);
    if (code)
        return code;
    httpd->writes = writes_new(httpd);
    httpd->reads = reads_new(httpd);
    httpd->scans = scans_new(httpd);
    httpd->watches = watches_new(httpd);
    httpd->survey = survey_new(httpd);
    httpd->changes = changes_new(httpd);
    if (httpd->config->follower_mode == FOLLOWER_PROXY)
        code = proxy_new(&httpd->proxy, httpd, error);
    if (code)
        return code;
    code = server_new(&httpd->server, httpd, *listen_fd, error);
    if (!code)
        code = httpd_dial(httpd, error);
    return code;
}

static int run(struct httpd *httpd, int listen_fd)
{
    char address[LIMIT_ADDRESS_BYTES_MAX + 8];
    config_address_format(&httpd->config->http_address, address, sizeof(address));
    loop_at_turn_end(httpd->loop, at_turn_end, httpd);
    server_run(httpd->server);
    logger_info("ready", "http_addr=%s", address);
    inherit_notify("READY=1");
    int exit_code = loop_run(httpd->loop);
    httpd_hang_up(httpd);
    server_free(httpd->server);
    writes_free(httpd->writes);
    reads_free(httpd->reads);
    scans_free(httpd->scans);
    watches_free(httpd->watches);
    survey_free(httpd->survey);
    changes_free(httpd->changes);
    proxy_free(httpd->proxy);
    loop_free(httpd->loop);
    (void)close(listen_fd);
    logger_info("stopped", "code=%d", exit_code);
    return exit_code;
}

int main(int argc, char **argv)
{
    static struct config config;
    static struct httpd httpd = {.config = &config};
    struct error error = {""};
    config_load_or_exit(&config, &program, argc, argv);
    logger_start("httpd");
    (void)signal(SIGPIPE, SIG_IGN);
    int listen_fd = inherit_listen_fd();
    int code = prepare(&httpd, &error);
    if (!code)
        code = start(&httpd, &listen_fd, &error);
    return code ? fail_start(&error) : run(&httpd, listen_fd);
}
