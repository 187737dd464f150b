/* conure-storaged: arguments, locks, the store, the loop. --check, --dump, --load and --stat do
 * something with a file instead. */
#include "clock.h"
#include "config.h"
#include "datadir.h"
#include "dispatch.h"
#include "entropy.h"
#include "inherit.h"
#include "logger.h"
#include "tools.h"
#include "verify.h"

#include <errno.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *check_path, *dump_path, *load_path, *stat_path;
static const struct config_flag flags[] = {
    {"check", "FILE",
     "verify a tree file, print findings, exit 0 if it is clean, 1 if not, 2 if it cannot be "
     "opened or is in use",
     &check_path},
    {"dump", "FILE", "write its records to stdout, a line of JSON each; exit 0, 1 if cut, 2",
     &dump_path},
    {"load", "FILE",
     "make it from such lines, in key order, on stdin; exit 0, 1 if they are wrong, 2", &load_path},
    {"stat", "FILE", "print what it holds: keys, pages, depth, bytes; exit 0, 1 if damaged, 2",
     &stat_path},
    {NULL},
};
static const struct config_program program = {
    .name = "conure-storaged",
    .purpose =
        "Keeps the keys and values of a ConureDB node in conure.db. Started by conure-launch.",
    .flags = flags,
};

/* ---- with a file ---- */

static void tool_on_finding(void *context, const char *line)
{
    (void)context;
    printf("%s\n", line);
}

/* `context` says of what. */
static void tool_on_progress(void *context, uint64_t done, uint64_t of)
{
    if (!isatty(STDERR_FILENO))
        return;
    fprintf(stderr, "\r%llu", (unsigned long long)done);
    if (of)
        fprintf(stderr, " of %llu", (unsigned long long)of);
    fprintf(stderr, " %s", (const char *)context);
}

static void tool_on_lost(const char *line)
{
    fprintf(stderr, "conure-storaged: %s\n", line);
    _exit(EXIT_CODE_USAGE);
}

/* A file in a data directory is looked at under the daemon's lock: it would change meanwhile. */
static int tool_lock(const char *path, struct error *error)
{
    char directory[LIMIT_PATH_BYTES_MAX];
    int lock_fd;
    if (strlen(path) >= sizeof(directory))
        return error_set(error, -ENAMETOOLONG, "the path of the file is too long");
    strcpy(directory, path);
    return datadir_lock_outside(dirname(directory), "storaged", &lock_fd, error);
}

static int run_check(const char *path, struct error *error)
{
    long findings = verify_file(path, tool_on_finding, tool_on_progress, "pages checked", error);
    if (findings < 0)
        return (int)findings;
    printf("%s: %s (%ld findings)\n", path, findings ? "damaged" : "clean", findings);
    error->text[0] = '\0';
    return findings ? TOOLS_CUT : 0;
}

static int run_dump(const char *path, struct error *error)
{
    return tools_dump(path, stdout, isatty(STDOUT_FILENO) ? NULL : tool_on_progress,
                      "records written", error);
}

static int run_load(const char *path, struct error *error)
{
    return tools_load(path, stdin, tool_on_progress, "records read", error);
}

static int run_stat(const char *path, struct error *error)
{
    return tools_stat(path, stdout, error);
}

static int run_tool(const char *name, const char *path,
                    int (*run_it)(const char *path, struct error *error))
{
    struct error error = {""};
    pager_guard_maps(tool_on_lost);
    int code = tool_lock(path, &error);
    if (!code)
        code = run_it(path, &error);
    if (code && error.text[0])
        fprintf(stderr, "conure-storaged: cannot %s %s: %s\n", name, path, error.text);
    return code < 0 ? EXIT_CODE_USAGE : code ? EXIT_CODE_FAILURE : EXIT_CODE_OK;
}

/* ---- the daemon ---- */

static int fail_start(int code, const struct error *error)
{
    char reason[ERROR_TEXT_BYTES + 8];
    logger_error("start_failed", "reason=%s", logger_quoted(reason, sizeof(reason), error->text));
    return code == -EBADMSG || code == -EPROTO ? EXIT_CODE_PERMANENT : EXIT_CODE_FAILURE;
}

static void on_stop_signal(void *context, int signal_number)
{
    (void)signal_number;
    loop_stop(context, EXIT_CODE_OK);
}

static void on_checkpoint_failed(void *context, int code)
{
    logger_error("checkpoint_failed", "reason=\"%s\"", strerror(-code));
    loop_stop(context, EXIT_CODE_FAILURE);
}

/* The next start opens whichever file has the name then. */
static void on_install_failed(void *context, int code, const char *reason)
{
    struct storaged *storaged = context;
    char quoted[600];
    logger_error("install_failed", "code=%d reason=%s", code,
                 logger_quoted(quoted, sizeof(quoted), reason));
    loop_stop(storaged->loop, EXIT_CODE_FAILURE);
}

/* The next start finds out whether the file is whole. */
static void on_map_lost(const char *line)
{
    char reason[600];
    logger_error("damaged", "reason=%s", logger_quoted(reason, sizeof(reason), line));
    _exit(EXIT_CODE_FAILURE);
}

static int prepare(struct storaged *storaged, const struct config *config, struct error *error)
{
    int lock_fd;
    int code = loop_new(&storaged->loop);
    if (!code)
        code = loop_signal(storaged->loop, SIGTERM, on_stop_signal, storaged->loop);
    if (!code)
        code = loop_signal(storaged->loop, SIGINT, on_stop_signal, storaged->loop);
    if (code)
        return error_set_errno(error, code, "cannot set up the event loop");
    code = datadir_enter(config->data_dir, error);
    if (!code)
        code = datadir_lock("storaged", LIMIT_LOCK_WAIT_MS, &lock_fd, error);
    if (!code)
        code = datadir_guard(".", "storaged", LIMIT_LOCK_WAIT_MS, &lock_fd, error);
    pager_guard_maps(on_map_lost);
    if (!code)
        code = store_open(&storaged->store, DATADIR_TREE_PATH, error);
    return code;
}

static int start(struct storaged *storaged, const struct config *config, struct error *error)
{
    storaged->hello = hello_of(PROTO_ROLE_STORAGED, entropy_number(), config->node_id);
    int code = worker_new(&storaged->worker, storaged->loop);
    if (code)
        return error_set_errno(error, code, "cannot start the second thread");
    storaged->checkpointer =
        checkpointer_new(&(struct checkpointer_options){.loop = storaged->loop,
                                                        .worker = storaged->worker,
                                                        .store = storaged->store,
                                                        .on_failed = on_checkpoint_failed,
                                                        .context = storaged->loop});
    storaged->parking = parking_new(storaged->loop, storaged->store);
    storaged->reads = reads_new(storaged->parking, storaged->store, &storaged->server);
    storaged->scans =
        scans_new(storaged->loop, storaged->parking, storaged->store, &storaged->server);
    storaged->watches = watches_new(storaged->parking, storaged->store, &storaged->server);
    storaged->snapshots = snapshots_new(storaged->loop, storaged->store, &storaged->server);
    storaged->install =
        install_new(&(struct install_options){.loop = storaged->loop,
                                              .worker = storaged->worker,
                                              .store = storaged->store,
                                              .checkpointer = storaged->checkpointer,
                                              .server = &storaged->server,
                                              .on_ended = storaged_on_install_ended,
                                              .on_failed = on_install_failed,
                                              .context = storaged});
    return storaged_listen(storaged, error);
}

static int run(struct storaged *storaged)
{
    logger_info("ready", "applied_index=%llu",
                (unsigned long long)store_applied_index(storaged->store));
    inherit_notify("READY=1");
    int exit_code = loop_run(storaged->loop);
    inherit_notify("STOPPING=1");
    bus_server_free(storaged->server);
    if (exit_code != EXIT_CODE_OK)
        return exit_code; /* what is in memory may be half a change: the file stays as it is */
    install_free(storaged->install);
    int code = checkpointer_finish(storaged->checkpointer);
    if (code) {
        logger_error("checkpoint_failed", "reason=\"%s\"", strerror(-code));
        return EXIT_CODE_FAILURE;
    }
    logger_info("stopped", "durable_index=%llu",
                (unsigned long long)store_durable_index(storaged->store));
    worker_free(storaged->worker);
    snapshots_free(storaged->snapshots);
    parking_free(storaged->parking);
    scans_free(storaged->scans);
    watches_free(storaged->watches);
    reads_free(storaged->reads);
    store_close(storaged->store);
    buffer_free(&storaged->reply);
    loop_free(storaged->loop);
    return EXIT_CODE_OK;
}

int main(int argc, char **argv)
{
    static struct config config;
    static struct storaged storaged;
    struct error error = {""};
    config_load_or_exit(&config, &program, argc, argv);
    if (check_path)
        return run_tool("check", check_path, run_check);
    if (dump_path)
        return run_tool("dump", dump_path, run_dump);
    if (load_path)
        return run_tool("load", load_path, run_load);
    if (stat_path)
        return run_tool("stat", stat_path, run_stat);
    logger_start("storaged");
    (void)signal(SIGPIPE, SIG_IGN);
    int code = prepare(&storaged, &config, &error);
    if (!code)
        code = start(&storaged, &config, &error);
    return code ? fail_start(code, &error) : run(&storaged);
}
