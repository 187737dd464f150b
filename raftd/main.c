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

/* ---- what the rooms tell each other ---- */

static void on_commit(void *context, uint64_t commit_index)
{
    (void)context;
    (void)commit_index; /* the feed looks at the turn's end */
}

static void on_read(void *context, uint64_t read, uint64_t index)
{
    struct raftd *raftd = context;
    rounds_on_index(raftd->rounds, read, index);
}

/* At once: nothing that was to follow may happen (invariants 3 and 7). To every other process it is
 * a crash, and crashes are what the files are made for. */
static void on_failed(void *context, int code, const char *what)
{
    (void)context;
    logger_error("disk_failed", "what=\"%s\" reason=\"%s\"", what, strerror(-code));
    _exit(EXIT_CODE_FAILURE);
}

static void on_foreign(void *context, const char *text)
{
    struct raftd *raftd = context;
    char reason[600];
    logger_error("foreign_data", "reason=%s", logger_quoted(reason, sizeof(reason), text));
    loop_stop(raftd->loop, EXIT_CODE_PERMANENT);
}

static void on_placed(void *context, uint64_t applied_index)
{
    struct raftd *raftd = context;
    struct error error = {""};
    if (raftd->started)
        return;
    raftd->started = true;
    int code = consensus_start(raftd->consensus, applied_index, &error);
    if (code)
        loop_stop(raftd->loop, fail_start(code, &error));
}

static void on_drain_end(void *context)
{
    struct raftd *raftd = context;
    loop_stop(raftd->loop, EXIT_CODE_OK);
}

/* Answers on their way go out first; new proposals are refused meanwhile. */
static void on_stop_signal(void *context, int signal_number)
{
    struct raftd *raftd = context;
    (void)signal_number;
    raftd->draining = true;
    loop_timer_set(raftd->loop, &raftd->drain_timer, loop_now_ms(raftd->loop) + RAFTD_DRAIN_MS_MAX,
                   on_drain_end, raftd);
}

/* ---- start and stop ---- */

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
    if (code)
        return code;
    struct consensus_options options = {
        .loop = raftd->loop,
        .config = raftd->config,
        .on_commit = on_commit,
        .on_read = on_read,
        .on_failed = on_failed,
        .context = raftd,
    };
    return consensus_open(&raftd->consensus, &options, error);
}

static int start(struct raftd *raftd, struct error *error)
{
    raftd->hello = hello_of(PROTO_ROLE_RAFTD, entropy_number(), raftd->config->node_id);
    raftd->proposals = proposals_new(raftd->consensus, &raftd->server);
    raftd->rounds = rounds_new(raftd->consensus, &raftd->server);
    struct feed_options options = {
        .loop = raftd->loop,
        .hello = &raftd->hello,
        .consensus = raftd->consensus,
        .proposals = raftd->proposals,
        .on_placed = on_placed,
        .on_foreign = on_foreign,
        .context = raftd,
    };
    int code = 0;
    if (consensus_is_member(raftd->consensus) || consensus_wants_bootstrap(raftd->consensus))
        code = feed_new(&raftd->feed, &options, error);
    if (!code)
        code = raftd_listen(raftd, error);
    return code;
}

static int run(struct raftd *raftd)
{
    const struct log *log = consensus_log(raftd->consensus);
    logger_info("ready", "last_index=%llu", log ? (unsigned long long)log_last_index(log) : 0);
    inherit_notify("READY=1");
    int exit_code = loop_run(raftd->loop);
    inherit_notify("STOPPING=1");
    bus_server_free(raftd->server);
    feed_free(raftd->feed);
    loop_timer_cancel(raftd->loop, &raftd->drain_timer);
    consensus_close(raftd->consensus);
    proposals_free(raftd->proposals);
    rounds_free(raftd->rounds);
    buffer_free(&raftd->reply);
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
    if (!code)
        code = start(&raftd, &error);
    return code ? fail_start(code, &error) : run(&raftd);
}
