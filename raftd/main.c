/* conure-raftd: arguments, locks, the state in raft/, the loop. */
#include "clock.h"
#include "config.h"
#include "datadir.h"
#include "entropy.h"
#include "inherit.h"
#include "logger.h"
#include "message.h"
#include "raftd.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct config_program program = {
    .name = "conure-raftd",
    .purpose = "Replicates the commands of a ConureDB node. Started by conure-launch.",
};

static int fail_start(int code, const struct error *error)
{
    char reason[ERROR_TEXT_BYTES + 8];
    logger_error("start_failed", "reason=%s", logger_quoted(reason, sizeof(reason), error->text));
    return code == -EBADMSG || code == -EPROTO ? EXIT_CODE_PERMANENT : EXIT_CODE_FAILURE;
}

/* ---- start and stop ---- */

static void on_stop_signal(void *context, int signal_number)
{
    (void)signal_number;
    raftd_begin_drain(context);
}

static int prepare(struct raftd *raftd, struct error *error)
{
    int lock_fd;
    int code = loop_new(&raftd->loop);
    if (!code)
        code = loop_signal(raftd->loop, SIGTERM, on_stop_signal, raftd);
    if (!code)
        code = loop_signal(raftd->loop, SIGINT, on_stop_signal, raftd);
    if (code)
        return error_set_errno(error, code, "cannot set up the event loop");
    code = datadir_enter(raftd->config->data_dir, error);
    if (!code)
        code = datadir_lock("raftd", LIMIT_LOCK_WAIT_MS, &lock_fd, error);
    raftd->hello = hello_of(PROTO_ROLE_RAFTD, entropy_number(), raftd->config->node_id);
    return code ? code : raftd_open(raftd, error);
}

static int run(struct raftd *raftd)
{
    const struct log *log = consensus_log(raftd->consensus);
    logger_info("ready", "last_index=%llu", log ? (unsigned long long)log_last_index(log) : 0);
    inherit_notify("READY=1");
    int exit_code = loop_run(raftd->loop);
    inherit_notify("STOPPING=1");
    raftd_close(raftd);
    loop_free(raftd->loop);
    if (exit_code == EXIT_CODE_OK)
        logger_info("stopped", "reason=signal");
    return exit_code;
}

int main(int argc, char **argv)
{
    static struct config config;
    static struct raftd raftd;
    struct error error = {""};
    config_load_or_exit(&config, &program, argc, argv);
    logger_start("raftd");
    (void)signal(SIGPIPE, SIG_IGN);
    raftd.config = &config;
    int code = prepare(&raftd, &error);
    return code ? fail_start(code, &error) : run(&raftd);
}
