/* conure-launch: arguments, then either a command for the launcher that runs (client.h), or a node:
 * listening socket, data directory, lock, loop. Nothing starts before all of these are had. */
#include "client.h"
#include "clock.h"
#include "config.h"
#include "datadir.h"
#include "launch_limits.h"
#include "listener.h"
#include "logger.h"
#include "loop.h"
#include "node.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct config_program program = {
    .name = "conure-launch",
    .purpose =
        "Starts a ConureDB node (storaged, raftd, httpd) and keeps it running; with a command, "
        "asks the\nlauncher that runs in the data directory. D is storaged, raftd or httpd.",
    .operands = "[status [--json] | start D | stop D | restart D]",
};

static int fail_start(const struct error *error)
{
    char reason[ERROR_TEXT_BYTES + 8];
    logger_error("start_failed", "reason=%s", logger_quoted(reason, sizeof(reason), error->text));
    return EXIT_CODE_FAILURE;
}

/* Descriptors 0 to 2 must not become sockets of ours. */
static int fill_standard_descriptors(struct error *error)
{
    int fd;
    do {
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    } while (fd >= 0 && fd <= STDERR_FILENO && fcntl(fd, F_SETFD, 0) == 0);
    if (fd < 0)
        return error_set_errno(error, -errno, "cannot open /dev/null");
    (void)close(fd);
    return 0;
}

/* The daemons lie beside this program: all of them, or nothing is started. */
static int find_programs(const struct config *config, char directory[PATH_MAX], struct error *error)
{
    char path[PATH_MAX + 32];
    ssize_t length = readlink("/proc/self/exe", directory, PATH_MAX - 1);
    if (length < 0)
        return error_set_errno(error, -errno, "cannot read /proc/self/exe");
    directory[length] = '\0';
    *strrchr(directory, '/') = '\0';
    for (unsigned i = 0; i < KINDS_COUNT; i++) {
        snprintf(path, sizeof(path), "%s/%s", directory, kinds[i].program);
        if (access(path, X_OK) < 0)
            return error_set_errno(error, -errno, "cannot run %s", path);
    }
    snprintf(path, sizeof(path), "%s/" JOINER_PROGRAM, directory);
    if (config->seeds_count > 0 && access(path, X_OK) < 0)
        return error_set_errno(error, -errno, "seeds: cannot run %s", path);
    return 0;
}

/* The port is taken. If that is an httpd whose launcher was killed, it is on its way out, and so is
 * its lock. */
static int listen_after_orphan(const struct config *config, int *ret_fd, struct error *error)
{
    int lock_fd;
    int code = datadir_lock("httpd", LIMIT_LOCK_WAIT_MS, &lock_fd, error);
    if (code)
        return code;
    (void)close(lock_fd);
    for (unsigned waited_ms = 0; waited_ms <= LAUNCH_BIND_RETRY_MS; waited_ms += 10) {
        code = listener_open(&config->http_address, ret_fd, error);
        if (code != -EADDRINUSE)
            break;
        (void)usleep(10000);
    }
    return code;
}

/* The socket comes first: while the port is taken by somebody else, no directory is made. */
static int prepare(const struct config *config, int *ret_listen_fd, struct error *error)
{
    char run_path[LIMIT_PATH_BYTES_MAX + 8];
    int lock_fd;
    int busy = listener_open(&config->http_address, ret_listen_fd, error);
    snprintf(run_path, sizeof(run_path), "%s/" DATADIR_RUN_PATH, config->data_dir);
    if (busy && (busy != -EADDRINUSE || access(run_path, F_OK) < 0))
        return busy;
    int code = datadir_enter(config->data_dir, error);
    if (!code)
        code = datadir_lock("launch", LAUNCH_LOCK_WAIT_MS, &lock_fd, error);
    if (!code && busy)
        code = listen_after_orphan(config, ret_listen_fd, error);
    return code;
}

static int run(const struct node_plan *plan, struct error *error)
{
    static struct node node;
    struct loop *loop;
    int code = loop_new(&loop);
    if (code)
        return error_set_errno(error, code, "cannot set up the event loop");
    code = node_open(&node, loop, plan, error);
    if (code)
        return code;
    int exit_code = loop_run(loop);
    node_close(&node);
    loop_free(loop);
    if (exit_code == EXIT_CODE_OK)
        logger_info("stopped", "uptime_ms=%llu",
                    (unsigned long long)(clock_monotonic_ms() - node.begun_ms));
    return exit_code;
}

int main(int argc, char **argv)
{
    static struct config config;
    static char program_directory[PATH_MAX];
    struct error error = {""};
    struct node_plan plan = {.config = &config, .program_directory = program_directory};
    int operands = config_load_or_exit(&config, &program, argc, argv);
    if (operands < argc)
        return client_run(&config, argc - operands, argv + operands);
    logger_start("launch");
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN); /* the daemons inherit this: a closed terminal ends nothing */
    plan.flags = argv + 1;
    plan.flags_count = (unsigned)argc - 1;
    int code = fill_standard_descriptors(&error);
    if (!code)
        code = find_programs(&config, program_directory, &error);
    plan.directory_fd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (!code && plan.directory_fd < 0)
        code = error_set_errno(&error, -errno, "cannot open the working directory");
    if (!code)
        code = prepare(&config, &plan.listen_fd, &error);
    if (!code)
        code = run(&plan, &error);
    return code < 0 ? fail_start(&error) : code;
}
