#include "node.h"

#include <arpa/inet.h>
#include <check.h>
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define READY_MS_MAX 60000
#define STOP_MS_MAX 60000

uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

void node_pause(void)
{
    struct timespec pause = {.tv_nsec = 5000000};
    (void)nanosleep(&pause, NULL);
}

const char *binary(const char *name)
{
    static char paths[8][512];
    static unsigned next;
    const char *folder = getenv("CONURE_BIN");
    if (!folder) {
        fprintf(stderr, "CONURE_BIN: want the build folder\n");
        exit(EXIT_FAILURE);
    }
    char *path = paths[next++ % 8];
    snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

int run_command(char *ret_output, unsigned output_bytes, const char *format, ...)
{
    char command[2048];
    size_t length = 0;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(command, sizeof(command) - 8, format, arguments);
    va_end(arguments);
    strcat(command, " 2>&1");
    FILE *pipe = popen(command, "r");
    ck_assert_ptr_nonnull(pipe);
    while (length + 1 < output_bytes) {
        size_t part = fread(ret_output + length, 1, output_bytes - 1 - length, pipe);
        if (part == 0)
            break;
        length += part;
    }
    ret_output[length] = '\0';
    int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void node_print_log(const struct node *node, unsigned lines)
{
    static char tail[40000];
    (void)run_command(tail, sizeof(tail), "tail -n %u %s", lines, node->log);
    fprintf(stderr, "---- end of %s (%s):\n%s----\n", node->log, node->id, tail);
}

static void (*fail_fn)(void *context);
static void *fail_context;

void node_on_fail(void (*fn)(void *context), void *context)
{
    fail_fn = fn;
    fail_context = context;
}

void node_fail(const struct node *node, const char *file, int line, const char *what)
{
    if (fail_fn)
        fail_fn(fail_context);
    else
        node_print_log(node, 60);
    ck_abort_msg("%s:%d: %s (CONURE_BIN=%s and CK_RUN_CASE=NAME repeat it)", file, line, what,
                 getenv("CONURE_BIN"));
}

/* Where the system takes the ports of outgoing connections from: a node that is down for a while
 * could not have one of those back. */
static unsigned first_port_given_out(void)
{
    unsigned first = 32768;
    FILE *file = fopen("/proc/sys/net/ipv4/ip_local_port_range", "r");
    if (file && fscanf(file, "%u", &first) != 1)
        first = 32768;
    if (file)
        (void)fclose(file);
    return first > 12000 ? first : 32768;
}

static bool port_is_free(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool is_free = bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
    close(fd);
    return is_free;
}

/* Nothing holds the port until the node binds it; tests at the same time begin elsewhere. */
static uint16_t free_port(void)
{
    static unsigned next;
    unsigned count = first_port_given_out() - 10000;
    for (unsigned tries = 0; tries < count; tries++) {
        next = next ? next + 1 : (unsigned)getpid() * 37u;
        if (port_is_free((uint16_t)(10000 + next % count)))
            return (uint16_t)(10000 + next % count);
    }
    ck_abort_msg("no free port");
}

void node_new(struct node *node, const char *more)
{
    node_new_with(node, &(struct node_options){.more = more});
}

void node_configure(const struct node *node, const char *more)
{
    FILE *file = fopen(node->config, "w");
    ck_assert_ptr_nonnull(file);
    fprintf(file, "node_id: %s\ndata_dir: %s\nraft_addr: %s\nhttp_addr: %s\n%s", node->id,
            node->data, node->raft_address, node->http_address, more ? more : "");
    ck_assert_int_eq(fclose(file), 0);
}

void node_wipe(const struct node *node)
{
    char output[256];
    ck_assert_int_eq(node->pid, 0);
    ck_assert_int_eq(run_command(output, sizeof(output), "rm -rf %s", node->data), 0);
}

void node_new_with(struct node *node, const struct node_options *options)
{
    const char *host = options->host ? options->host : "127.0.0.1";
    *node = (struct node){.folder = "/tmp/conure-node-XXXXXX"};
    ck_assert_ptr_nonnull(mkdtemp(node->folder));
    snprintf(node->id, sizeof(node->id), "%s", options->id ? options->id : "node1");
    node->namespace_fd = options->namespace_fd;
    node->http_port = options->http_port ? options->http_port : free_port();
    node->raft_port = options->raft_port ? options->raft_port : free_port();
    snprintf(node->config, sizeof(node->config), "%s/node.yaml", node->folder);
    snprintf(node->log, sizeof(node->log), "%s/launch.log", node->folder);
    snprintf(node->data, sizeof(node->data), "%s/data", node->folder);
    snprintf(node->url, sizeof(node->url), "http://%s:%u", host, node->http_port);
    snprintf(node->raft_address, sizeof(node->raft_address), "%s:%u", host, node->raft_port);
    snprintf(node->http_address, sizeof(node->http_address), "%s",
             options->http_addr ? options->http_addr : node->url + strlen("http://"));
    node_configure(node, options->more);
}

/* The launcher dies with the test, and the daemons with the launcher. */
static pid_t start_launcher(const struct node *node)
{
    pid_t parent = getpid(), pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid > 0)
        return pid;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || (node->namespace_fd && setns(node->namespace_fd, CLONE_NEWNET) < 0))
        _exit(127);
    int fd = open(node->log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    (void)dup2(fd, STDOUT_FILENO);
    (void)dup2(fd, STDERR_FILENO);
    execl(binary("conure-launch"), "conure-launch", "--config", node->config, (char *)NULL);
    _exit(127);
}

static size_t discard(char *bytes, size_t size, size_t count, void *context)
{
    (void)bytes;
    (void)context;
    return size * count;
}

bool node_is_ready(const struct node *node)
{
    char url[128];
    long status = 0;
    CURL *curl = curl_easy_init();
    snprintf(url, sizeof(url), "%s/readyz", node->url);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, 1000L);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, discard);
    if (curl_easy_perform(curl) == CURLE_OK)
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(curl);
    return status == 200;
}

bool node_has_ended(struct node *node)
{
    int status;
    if (node->pid && waitpid(node->pid, &status, WNOHANG) == node->pid)
        node->pid = 0;
    return node->pid == 0;
}

void node_launch(struct node *node)
{
    node->pid = start_launcher(node);
}

void node_start(struct node *node)
{
    node_launch(node);
    uint64_t until_ms = now_ms() + READY_MS_MAX;
    while (!node_is_ready(node)) {
        if (node_has_ended(node))
            node_fail(node, __FILE__, __LINE__, "the launcher ended instead of becoming ready");
        if (now_ms() > until_ms)
            node_fail(node, __FILE__, __LINE__, "the node did not become ready");
        node_pause();
    }
}

static bool runs_under_new_pid(const struct node *node, const char *daemon, pid_t old)
{
    pid_t pid = node_daemon_pid(node, daemon);
    return pid > 0 && pid != old;
}

void node_kill_daemon(const struct node *node, const char *daemon)
{
    pid_t pid = 0;
    NODE_WAIT(node, (pid = node_daemon_pid(node, daemon)) > 0, 10000);
    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    NODE_WAIT(node, runs_under_new_pid(node, daemon, pid), 15000);
}

int node_launch_command(const struct node *node, const char *words, char *ret_output,
                        unsigned output_bytes)
{
    return run_command(ret_output, output_bytes, "%s --config %s %s", binary("conure-launch"),
                       node->config, words);
}

/* From the table `DAEMON STATE PID ...`. */
pid_t node_daemon_pid(const struct node *node, const char *daemon)
{
    char table[4096];
    if (node_launch_command(node, "status", table, sizeof(table)))
        return 0;
    for (char *rest = NULL, *line = strtok_r(table, "\n", &rest); line;
         line = strtok_r(NULL, "\n", &rest)) {
        char name[32], state[32];
        int pid;
        if (sscanf(line, "%31s %31s %d", name, state, &pid) == 3 && !strcmp(name, daemon))
            return pid;
    }
    return 0;
}

static const char *const daemons[] = {"storaged", "raftd", "httpd"};

static void daemon_pids(const struct node *node, pid_t pids[3])
{
    for (int i = 0; i < 3; i++)
        pids[i] = node_daemon_pid(node, daemons[i]);
}

/* An orphan that has ended may lie there until init looks; its files are closed when its last
 * thread is through. */
static bool is_gone(pid_t pid)
{
    char path[64], line[1024], state = 'Z';
    int threads = 0;
    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    FILE *file = fopen(path, "r");
    if (file && fgets(line, sizeof(line), file) && strrchr(line, ')'))
        (void)sscanf(strrchr(line, ')'),
                     ") %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %d",
                     &state, &threads);
    if (file)
        (void)fclose(file);
    return (state == 'Z' || state == 'X') && threads <= 1;
}

static bool all_gone(const pid_t pids[3])
{
    for (int i = 0; i < 3; i++)
        if (pids[i] > 0 && !is_gone(pids[i]))
            return false;
    return true;
}

void node_stop(struct node *node)
{
    pid_t pids[3];
    int status = 0;
    daemon_pids(node, pids);
    ck_assert_int_eq(kill(node->pid, SIGTERM), 0);
    uint64_t until_ms = now_ms() + STOP_MS_MAX;
    while (waitpid(node->pid, &status, WNOHANG) == 0) {
        if (now_ms() > until_ms)
            node_fail(node, __FILE__, __LINE__, "the launcher did not stop");
        node_pause();
    }
    node->pid = 0;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        node_fail(node, __FILE__, __LINE__, "the launcher did not exit with 0");
    NODE_WAIT(node, all_gone(pids), 5000);
}

void node_kill_all(struct node *node)
{
    pid_t pids[3];
    node_thaw(node);
    daemon_pids(node, pids);
    node->killed_ms = now_ms();
    /* The launcher last, and stopped before, so that it restarts nothing: its end tells the daemons
     * to leave in order, which no power cut does. */
    kill(node->pid, SIGSTOP);
    for (int i = 0; i < 3; i++)
        if (pids[i] > 0)
            kill(pids[i], SIGKILL);
    kill(node->pid, SIGKILL);
    waitpid(node->pid, NULL, 0);
    node->pid = 0;
    NODE_WAIT(node, all_gone(pids), 10000);
}

/* The launcher first, so that it wonders about nobody. */
void node_freeze(struct node *node)
{
    node->frozen[0] = node->pid;
    daemon_pids(node, node->frozen + 1);
    for (int i = 0; i < 4; i++)
        if (node->frozen[i] > 0)
            (void)kill(node->frozen[i], SIGSTOP);
}

void node_thaw(struct node *node)
{
    for (int i = 3; i >= 0; i--) {
        if (node->frozen[i] > 0)
            (void)kill(node->frozen[i], SIGCONT);
        node->frozen[i] = 0;
    }
}

void node_free(struct node *node)
{
    char output[1024];
    node_thaw(node);
    if (node->pid)
        node_stop(node);
    if (getenv("CONURE_KEEP"))
        fprintf(stderr, "%s: %s\n", node->id, node->folder);
    else
        (void)run_command(output, sizeof(output), "rm -rf %s", node->folder);
}

unsigned node_log_count(const struct node *node, const char *a, const char *b, const char *c)
{
    char line[2048];
    unsigned count = 0;
    FILE *file = fopen(node->log, "r");
    while (file && fgets(line, sizeof(line), file))
        count += (!a || strstr(line, a)) && (!b || strstr(line, b)) && (!c || strstr(line, c));
    if (file)
        (void)fclose(file);
    return count;
}
