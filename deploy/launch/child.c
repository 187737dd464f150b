/* The launcher has one thread, so the child may use the C library between fork and exec. A pipe
 * that closes on exec tells the parent whether exec worked: it reads the errno, or the end. */
#include "child.h"

#include "datadir.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILD_LISTEN_FD 3 /* where sd_listen_fds(3) looks */
#define CHILD_REPORT_FD_MIN 10

static int child_environment(const struct child_plan *plan)
{
    char pid[16];
    snprintf(pid, sizeof(pid), "%ld", (long)getpid());
    if (unsetenv("LISTEN_FDNAMES") || unsetenv("LISTEN_FDS") || unsetenv("LISTEN_PID") ||
        setenv("NOTIFY_SOCKET", DATADIR_NOTIFY_PATH, 1))
        return -errno;
    if (plan->listen_fd >= 0 && (setenv("LISTEN_FDS", "1", 1) || setenv("LISTEN_PID", pid, 1)))
        return -errno;
    return 0;
}

/* Descriptors 0, 1, 2 and perhaps 3; everything else closes on exec, also what the launcher itself
 * inherited by mistake. */
static int child_descriptors(const struct child_plan *plan)
{
    int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0 ||
        dup2(plan->output_fd, STDOUT_FILENO) < 0 || dup2(plan->output_fd, STDERR_FILENO) < 0)
        return -errno;
    unsigned rest = STDERR_FILENO + 1;
    if (plan->listen_fd >= 0) {
        if (plan->listen_fd != CHILD_LISTEN_FD && dup2(plan->listen_fd, CHILD_LISTEN_FD) < 0)
            return -errno;
        if (fcntl(CHILD_LISTEN_FD, F_SETFD, 0) < 0)
            return -errno;
        rest = CHILD_LISTEN_FD + 1;
    }
    (void)close_range(rest, ~0u, CLOSE_RANGE_CLOEXEC); /* an old kernel: ours close anyway */
    return 0;
}

static int child_signals(pid_t parent)
{
    sigset_t none;
    sigemptyset(&none);
    if (setpgid(0, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGTERM) < 0)
        return -errno;
    if (getppid() != parent)
        return -ESRCH; /* it died before the line above */
    if (signal(SIGPIPE, SIG_DFL) == SIG_ERR || sigprocmask(SIG_SETMASK, &none, NULL) < 0)
        return -errno;
    return 0;
}

static int child_become(const struct child_plan *plan, pid_t parent)
{
    int code = child_signals(parent);
    if (!code && fchdir(plan->directory_fd) < 0)
        code = -errno;
    if (!code)
        code = child_environment(plan);
    if (!code)
        code = child_descriptors(plan);
    if (code)
        return code;
    execv(plan->path, plan->argv);
    return -errno;
}

/* Two ends that close on exec, the written one out of the way of descriptors 0 to 3. */
static int report_open(int fds[2])
{
    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    int moved = fcntl(fds[1], F_DUPFD_CLOEXEC, CHILD_REPORT_FD_MIN);
    int code = moved < 0 ? -errno : 0;
    (void)close(fds[1]);
    if (code)
        (void)close(fds[0]);
    fds[1] = moved;
    return code;
}

/* 0 when the program runs, or why it does not. */
static int report_read(int fd)
{
    int code = 0;
    ssize_t length;
    do {
        length = read(fd, &code, sizeof(code));
    } while (length < 0 && errno == EINTR);
    return length == (ssize_t)sizeof(code) ? code : 0;
}

int child_spawn(const struct child_plan *plan, pid_t *ret_pid, struct error *error)
{
    int report[2];
    int code = report_open(report);
    if (code)
        return error_set_errno(error, code, "cannot start %s", plan->path);
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        code = child_become(plan, parent);
        ssize_t written = write(report[1], &code, sizeof(code));
        _exit(written == (ssize_t)sizeof(code) ? 127 : 126);
    }
    code = pid < 0 ? -errno : 0;
    (void)close(report[1]);
    if (!code && (code = report_read(report[0])))
        (void)waitpid(pid, NULL, 0);
    (void)close(report[0]);
    if (code)
        return error_set_errno(error, code, "cannot start %s", plan->path);
    *ret_pid = pid;
    return 0;
}
