/* The supervision as a whole, with stand-ins for the daemons: this program under their names, doing
 * what a file <program>.mode in the data directory says. They write what happens to them to
 * `trace`.
 */
#include "../unit.h"

#include "clock.h"
#include "datadir.h"
#include "inherit.h"
#include "node.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEADLINE_MS 20000

/* ---- the stand-in ---- */

static const char *stand_in_name;

static void trace(const char *what)
{
    char line[600];
    int fd = open("trace", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    int length = snprintf(line, sizeof(line), "%s %s\n", what, stand_in_name);
    if (write(fd, line, (size_t)length) != length)
        abort();
    close(fd);
}

static void stand_in_on_term(int signal_number)
{
    (void)signal_number;
    trace("stop");
    _exit(0);
}

/* What a daemon finds: descriptors, environment, signals. */
static void stand_in_inspect(void)
{
    sigset_t blocked;
    sigprocmask(SIG_BLOCK, NULL, &blocked);
    int listen_fd = inherit_listen_fd();
    int listening = 0;
    socklen_t bytes = sizeof(listening);
    if (listen_fd >= 0)
        (void)getsockopt(listen_fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &bytes);
    if (listening)
        trace("listens");
    for (int fd = listen_fd < 0 ? 3 : 4; fd < 64; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            trace("leaked");
    if (sigismember(&blocked, SIGTERM) || sigismember(&blocked, SIGCHLD))
        trace("blocked");
    if (getpgid(0) != getpid())
        trace("shared-group");
}

/* conure-repl, asked to join. */
static int stand_in_joiner(int argc, char **argv)
{
    char mode[32] = "", line[512];
    stand_in_name = "join";
    if (argc != 6 || chdir(getenv("TEST_DATA_DIR")) < 0)
        return 99;
    stand_in_inspect();
    snprintf(line, sizeof(line), "%s %s %s %s %s by", argv[1], argv[2], argv[3], argv[4], argv[5]);
    FILE *file = fopen("conure-repl.mode", "re");
    if (file && fscanf(file, "%31s", mode) != 1)
        return 98;
    trace(line);
    fprintf(stderr, "cannot join\n");
    while (!strcmp(mode, "hang"))
        pause();
    return atoi(mode);
}

static int stand_in(int argc, char **argv)
{
    char path[64], mode[32] = "";
    stand_in_name = argv[0] + strlen("conure-");
    if (!strcmp(stand_in_name, "repl"))
        return stand_in_joiner(argc, argv);
    if (argc != 3 || strcmp(argv[1], "--data-dir") || chdir(argv[2]) < 0)
        return 99; /* the test's flags did not arrive as they were */
    stand_in_inspect();
    snprintf(path, sizeof(path), "%s.mode", argv[0]);
    FILE *file = fopen(path, "re");
    if (file && fscanf(file, "%31s", mode) != 1)
        return 98;
    trace("start");
    if (!strncmp(mode, "exit:", 5))
        return atoi(mode + 5);
    (void)signal(SIGTERM, strcmp(mode, "deaf") ? stand_in_on_term : SIG_IGN);
    fprintf(stderr, "%s says hello", stand_in_name); /* without a newline: flushed when it ends */
    if (strcmp(mode, "silent"))
        inherit_notify("STATUS=here\nREADY=1");
    for (;;)
        pause();
}

/* ---- the test's side ---- */

static struct config config = {.node_id = "n"};
static struct node node;
static struct loop *loop;
static char program_directory[] = "/tmp/conure-test-node-XXXXXX";
static char data_dir[64];
static int log_fds[2];

static void make_stand_ins(void)
{
    char self[4096], link[128];
    ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
    ck_assert_int_gt(length, 0);
    self[length] = '\0';
    ck_assert_ptr_nonnull(mkdtemp(program_directory));
    for (unsigned i = 0; i < KINDS_COUNT; i++) {
        snprintf(link, sizeof(link), "%s/%s", program_directory, kinds[i].program);
        ck_assert_int_eq(symlink(self, link), 0);
    }
    snprintf(link, sizeof(link), "%s/" JOINER_PROGRAM, program_directory);
    ck_assert_int_eq(symlink(self, link), 0);
}

/* A data directory, and the launcher's stderr in a pipe. */
static void setup(void)
{
    struct error error = {""};
    make_stand_ins();
    snprintf(data_dir, sizeof(data_dir), "%s/data", program_directory);
    ck_assert_int_eq(pipe2(log_fds, O_NONBLOCK | O_CLOEXEC), 0);
    ck_assert_int_ge(dup2(log_fds[1], STDERR_FILENO), 0);
    ck_assert_msg(datadir_enter(data_dir, &error) == 0, "%s", error.text);
}

static void set_program_mode(const char *program, const char *mode)
{
    char path[64];
    snprintf(path, sizeof(path), "%s.mode", program);
    FILE *file = fopen(path, "we");
    fputs(mode, file);
    fclose(file);
}

static void set_mode(unsigned place, const char *mode)
{
    set_program_mode(kinds[place].program, mode);
}

static void open_node(void)
{
    static char *flags[] = {"--data-dir", data_dir, NULL};
    static struct node_plan plan = {.config = &config,
                                    .program_directory = program_directory,
                                    .flags = flags,
                                    .flags_count = 2};
    struct error error = {""};
    plan.directory_fd = open("/", O_PATH | O_CLOEXEC);
    plan.listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(listen(plan.listen_fd, 1), 0);
    ck_assert_int_eq(loop_new(&loop), 0);
    ck_assert_msg(node_open(&node, loop, &plan, &error) == 0, "%s", error.text);
}

#define TURN_UNTIL(condition)                                                                      \
    do {                                                                                           \
        uint64_t until_ms = clock_monotonic_ms() + DEADLINE_MS;                                    \
        while (!(condition)) {                                                                     \
            ck_assert_msg(clock_monotonic_ms() < until_ms, "never: " #condition);                  \
            loop_turn(loop, 100);                                                                  \
        }                                                                                          \
    } while (0)

static int all_stopped(void)
{
    for (unsigned i = 0; i < KINDS_COUNT; i++)
        if (node.services[i].state != STATE_STOPPED || node.services[i].pid)
            return 0;
    return 1;
}

static const char *read_text(int fd)
{
    static char text[64 << 10];
    ssize_t length = read(fd, text, sizeof(text) - 1);
    text[length > 0 ? length : 0] = '\0';
    return text;
}

static const char *read_trace(void)
{
    int fd = open("trace", O_RDONLY | O_CLOEXEC);
    const char *text = read_text(fd);
    close(fd);
    return text;
}

static void remove_all(void)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -r %s", program_directory);
    ck_assert_int_eq(system(command), 0);
}

/* Stops everything, however the test left it, and looks for what should not be there. */
static void teardown(void)
{
    node_stop(&node, 0);
    TURN_UNTIL(all_stopped());
    node_close(&node);
    loop_free(loop);
    ck_assert_int_ne(access(DATADIR_NOTIFY_PATH, F_OK), 0);
    ck_assert_int_ne(access(DATADIR_CONTROL_PATH, F_OK), 0);
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
    ck_assert_int_eq(errno, ECHILD);
    ck_assert_ptr_null(strstr(read_trace(), "leaked"));
    ck_assert_ptr_null(strstr(read_trace(), "blocked"));
    ck_assert_ptr_null(strstr(read_trace(), "shared-group"));
    remove_all();
}

START_TEST(test_node_starts_in_order_and_stops_in_reverse)
{
    setup();
    open_node();
    TURN_UNTIL(node.phase == NODE_RUNNING);
    ck_assert_str_eq(read_trace(), "start storaged\nstart raftd\nlistens httpd\nstart httpd\n");
    raise(SIGTERM);
    TURN_UNTIL(all_stopped());
    ck_assert_str_eq(strstr(read_trace(), "stop"), "stop httpd\nstop raftd\nstop storaged\n");
    ck_assert_int_eq(loop_run(loop), 0);
    const char *log = read_text(log_fds[0]);
    ck_assert_ptr_nonnull(strstr(log, "storaged | storaged says hello\n"));
    ck_assert_ptr_nonnull(strstr(log, "httpd    | httpd says hello\n"));
    teardown();
}
END_TEST

START_TEST(test_node_next_waits_until_the_one_before_is_ready)
{
    setup();
    set_mode(1, "silent");
    open_node();
    TURN_UNTIL(strstr(read_trace(), "start raftd"));
    for (unsigned i = 0; i < 3; i++)
        loop_turn(loop, 50);
    ck_assert_ptr_null(strstr(read_trace(), "start httpd"));
    ck_assert_int_eq(node.phase, NODE_STARTING);
    ck_assert_int_eq(node.services[1].state, STATE_STARTING);
    teardown();
}
END_TEST

START_TEST(test_node_killed_daemon_comes_back_alone)
{
    setup();
    open_node();
    TURN_UNTIL(node.phase == NODE_RUNNING);
    for (unsigned i = 0; i < KINDS_COUNT; i++) {
        pid_t pids[KINDS_COUNT];
        for (unsigned j = 0; j < KINDS_COUNT; j++)
            pids[j] = node.services[j].pid;
        kill(pids[i], SIGKILL);
        TURN_UNTIL(node.services[i].state == STATE_BACKOFF);
        TURN_UNTIL(node.services[i].state == STATE_READY);
        ck_assert_int_ne(node.services[i].pid, pids[i]);
        ck_assert_uint_eq(node.services[i].restarts, 1);
        for (unsigned j = 0; j < KINDS_COUNT; j++)
            if (j != i)
                ck_assert_int_eq(node.services[j].pid, pids[j]);
    }
    const char *log = read_text(log_fds[0]);
    ck_assert_ptr_nonnull(strstr(log, "event=child_restart child=raftd reason=\"killed by signal "
                                      "9 (SIGKILL)\""));
    ck_assert_ptr_nonnull(strstr(log, "restarts=1 backoff_ms="));
    teardown();
}
END_TEST

START_TEST(test_node_permanent_failure_at_the_start_ends_it_with_that_code)
{
    setup();
    set_mode(1, "exit:125");
    open_node();
    ck_assert_int_eq(loop_run(loop), 125);
    ck_assert(all_stopped());
    ck_assert_str_eq(read_trace(), "start storaged\nstart raftd\nstop storaged\n");
    teardown();
}
END_TEST

START_TEST(test_node_passing_failure_at_the_start_is_tried_again)
{
    setup();
    set_mode(0, "exit:1");
    open_node();
    TURN_UNTIL(node.services[0].restarts == 2);
    set_mode(0, "ready");
    TURN_UNTIL(node.phase == NODE_RUNNING);
    teardown();
}
END_TEST

START_TEST(test_node_permanent_failure_later_leaves_the_others_running)
{
    setup();
    open_node();
    TURN_UNTIL(node.phase == NODE_RUNNING);
    set_mode(0, "exit:125");
    kill(node.services[0].pid, SIGKILL);
    TURN_UNTIL(node.services[0].state == STATE_FAILED);
    ck_assert_int_eq(node.phase, NODE_RUNNING);
    ck_assert_int_eq(node.services[1].state, STATE_READY);
    ck_assert_int_eq(node.services[2].state, STATE_READY);
    ck_assert_ptr_nonnull(strstr(read_text(log_fds[0]), "event=child_failed child=storaged"));
    teardown();
}
END_TEST

START_TEST(test_node_second_interrupt_kills_what_is_deaf)
{
    setup();
    set_mode(1, "deaf");
    open_node();
    TURN_UNTIL(node.phase == NODE_RUNNING);
    raise(SIGINT);
    TURN_UNTIL(node.services[2].state == STATE_STOPPED);
    loop_turn(loop, 50);
    ck_assert_int_eq(node.services[1].state, STATE_STOPPING);
    raise(SIGTERM); /* a manager may send two of these and mean nothing by it */
    loop_turn(loop, 50);
    ck_assert_int_eq(node.services[1].state, STATE_STOPPING);
    raise(SIGINT);
    TURN_UNTIL(all_stopped());
    ck_assert_int_eq(node.services[1].exit_code, 128 + SIGKILL);
    ck_assert_int_eq(loop_run(loop), 0);
    teardown();
}
END_TEST

START_TEST(test_node_daemon_deaf_to_sigterm_is_killed_in_the_end)
{
    static struct service_kind hasty;
    setup();
    set_mode(2, "deaf");
    open_node();
    TURN_UNTIL(node.phase == NODE_RUNNING);
    hasty = *node.services[2].kind;
    hasty.stop_ms = 100;
    node.services[2].kind = &hasty;
    raise(SIGTERM);
    TURN_UNTIL(all_stopped());
    ck_assert_int_eq(node.services[2].exit_code, 128 + SIGKILL);
    ck_assert_int_eq(node.services[1].exit_code, 0);
    ck_assert_ptr_nonnull(strstr(read_text(log_fds[0]), "event=child_killed child=httpd"));
    teardown();
}
END_TEST

START_TEST(test_node_slow_daemon_is_warned_about_and_left_alone)
{
    static struct service_kind hasty;
    setup();
    set_mode(0, "silent");
    open_node();
    hasty = *node.services[0].kind;
    hasty.slow_ms = 50;
    node.services[0].kind = &hasty;
    service_event(&node.services[0], EVENT_RESTART);
    TURN_UNTIL(strstr(read_text(log_fds[0]), "event=child_slow child=storaged"));
    ck_assert_int_eq(node.services[0].state, STATE_STARTING);
    teardown();
}
END_TEST

/* ---- the control socket ---- */

static int ask(const char *line)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = DATADIR_CONTROL_PATH};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    ck_assert_int_eq(send(fd, line, strlen(line), 0), (ssize_t)strlen(line));
    return fd;
}

static int answered(int fd)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    return poll(&ready, 1, 0) == 1;
}

static const char *answer_to(const char *line)
{
    int fd = ask(line);
    TURN_UNTIL(answered(fd));
    const char *text = read_text(fd);
    close(fd);
    return text;
}

START_TEST(test_node_commands_are_answered_when_the_daemon_rests)
{
    setup();
    open_node();
    TURN_UNTIL(node.phase == NODE_RUNNING);
    pid_t before = node.services[2].pid;
    ck_assert_str_eq(answer_to("restart httpd\n"),
                     "{\"ok\":true,\"message\":\"httpd is ready\"}\n");
    ck_assert_int_ne(node.services[2].pid, before);
    ck_assert_uint_eq(node.services[2].restarts, 0);
    ck_assert_str_eq(answer_to("stop raftd\n"), "{\"ok\":true,\"message\":\"raftd is stopped\"}\n");
    ck_assert_int_eq(node.services[1].pid, 0);
    ck_assert_str_eq(answer_to("start raftd\n"), "{\"ok\":true,\"message\":\"raftd is ready\"}\n");
    set_mode(1, "exit:1");
    ck_assert_str_eq(answer_to("restart raftd\n"),
                     "{\"ok\":false,\"message\":\"raftd is backoff: exited with code 1, and is "
                     "tried again\"}\n");
    set_mode(1, "exit:125");
    ck_assert_str_eq(answer_to("restart raftd\n"),
                     "{\"ok\":false,\"message\":\"raftd is failed: exited with code 125\"}\n");
    ck_assert_str_eq(answer_to("frobnicate\n"), "{\"ok\":false,\"message\":\"unknown command\"}\n");
    teardown();
}
END_TEST

START_TEST(test_node_status_names_all_daemons)
{
    setup();
    open_node();
    TURN_UNTIL(node.phase == NODE_RUNNING);
    const char *text = answer_to("status\n");
    for (unsigned i = 0; i < KINDS_COUNT; i++) {
        char part[128];
        snprintf(part, sizeof(part), "{\"name\":\"%s\",\"state\":\"ready\",\"pid\":%d,",
                 kinds[i].name, node.services[i].pid);
        ck_assert_msg(strstr(text, part) != NULL, "%s lacks %s", text, part);
    }
    teardown();
}
END_TEST

START_TEST(test_node_rude_callers_are_bounded_and_harmless)
{
    char line[LAUNCH_REQUEST_BYTES_MAX + 2];
    int fds[LAUNCH_CONTROL_CONNECTIONS_MAX + 4];
    setup();
    set_mode(0, "silent");
    open_node();
    memset(line, 'x', sizeof(line));
    line[sizeof(line) - 1] = '\0';
    ck_assert_str_eq(answer_to(line), "{\"ok\":false,\"message\":\"line too long\"}\n");
    close(ask("restart storaged\n")); /* gone before the answer */
    for (unsigned i = 0; i < sizeof(fds) / sizeof(*fds); i++) {
        fds[i] = ask("stat");
        loop_turn(loop, 0);
    }
    TURN_UNTIL(answered(fds[sizeof(fds) / sizeof(*fds) - 1])); /* closed: one too many */
    for (unsigned i = 0; i < sizeof(fds) / sizeof(*fds); i++)
        close(fds[i]);
    for (unsigned i = 0; i < 8; i++)
        loop_turn(loop, 10);
    ck_assert_ptr_nonnull(strstr(answer_to("status\n"), "\"daemons\""));
    teardown();
}
END_TEST

/* ---- joining through seeds ---- */

static const char joining[] = "--server http://a:1,http://b:2 join n 10.0.0.2:7002 by join\n";

static void setup_seeds(const char *mode)
{
    setup();
    setenv("TEST_DATA_DIR", data_dir, 1);
    strcpy(config.seeds[0], "http://a:1");
    strcpy(config.seeds[1], "http://b:2");
    config.seeds_count = 2;
    strcpy(config.raft_advertise_address.host, "10.0.0.2");
    config.raft_advertise_address.port = 7002;
    set_program_mode(JOINER_PROGRAM, mode);
}

static unsigned joins_count(void)
{
    unsigned count = 0;
    for (const char *at = read_trace(); (at = strstr(at, joining)); at++)
        count++;
    return count;
}

static void daemon_pids(pid_t pids[KINDS_COUNT])
{
    for (unsigned i = 0; i < KINDS_COUNT; i++)
        pids[i] = node.services[i].pid;
}

START_TEST(test_node_joins_through_its_seeds_once_it_runs)
{
    setup_seeds("0");
    open_node();
    TURN_UNTIL(node.phase == NODE_RUNNING && node.joiner.tries > 0 && !node.joiner.pid);
    ck_assert_ptr_nonnull(strstr(read_trace(), "start httpd\n--server"));
    ck_assert_uint_eq(joins_count(), 1);
    ck_assert(!node.joiner.wanted && !node.joiner.timer.place);
    const char *log = read_text(log_fds[0]);
    ck_assert_ptr_nonnull(strstr(log, "join     | cannot join\n"));
    ck_assert_ptr_nonnull(strstr(log, "event=joined tries=1"));
    teardown();
}
END_TEST

START_TEST(test_node_joining_is_tried_again_and_leaves_the_daemons_alone)
{
    pid_t before[KINDS_COUNT], after[KINDS_COUNT];
    setup_seeds("5");
    open_node();
    TURN_UNTIL(node.phase == NODE_RUNNING);
    daemon_pids(before);
    TURN_UNTIL(node.joiner.tries == 3);
    set_program_mode(JOINER_PROGRAM, "0");
    TURN_UNTIL(!node.joiner.wanted);
    ck_assert_uint_eq(joins_count(), node.joiner.tries);
    daemon_pids(after);
    ck_assert_mem_eq(before, after, sizeof(before));
    const char *log = read_text(log_fds[0]);
    ck_assert_ptr_nonnull(
        strstr(log, "event=join_retry tries=1 reason=\"exited with code 5\" backoff_ms="));
    teardown();
}
END_TEST

START_TEST(test_node_joining_itself_is_given_up)
{
    setup_seeds("2");
    open_node();
    TURN_UNTIL(node.phase == NODE_RUNNING && !node.joiner.wanted);
    ck_assert_uint_eq(joins_count(), 1);
    ck_assert_ptr_nonnull(strstr(read_text(log_fds[0]), "event=join_given_up"));
    ck_assert_int_eq(node.phase, NODE_RUNNING);
    teardown();
}
END_TEST

START_TEST(test_node_stops_while_it_joins)
{
    setup_seeds("hang");
    open_node();
    TURN_UNTIL(joins_count() == 1);
    raise(SIGTERM);
    TURN_UNTIL(all_stopped() && !node.joiner.pid);
    ck_assert_int_eq(loop_run(loop), 0);
    ck_assert_uint_eq(joins_count(), 1);
    teardown();
}
END_TEST

/* A join that is killed from outside is one that failed. */
START_TEST(test_node_killed_join_is_tried_again)
{
    setup_seeds("hang");
    open_node();
    TURN_UNTIL(joins_count() == 1);
    set_program_mode(JOINER_PROGRAM, "0");
    kill(node.joiner.pid, SIGKILL);
    TURN_UNTIL(!node.joiner.wanted);
    ck_assert_uint_eq(node.joiner.tries, 2);
    teardown();
}
END_TEST

START_TEST(test_node_without_seeds_joins_nobody)
{
    setup();
    open_node();
    TURN_UNTIL(node.phase == NODE_RUNNING);
    ck_assert_int_eq(node.joiner.pid, 0);
    ck_assert_ptr_null(strstr(read_trace(), "--server"));
    teardown();
}
END_TEST

/* ---- the launcher dies ---- */

START_TEST(test_node_killed_launcher_takes_its_daemons_along)
{
    setup();
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    pid_t launcher = fork();
    if (launcher == 0) {
        open_node();
        _exit(loop_run(loop));
    }
    uint64_t until_ms = clock_monotonic_ms() + DEADLINE_MS;
    while (!strstr(read_trace(), "start httpd")) {
        ck_assert_uint_lt(clock_monotonic_ms(), until_ms);
        usleep(10000);
    }
    kill(launcher, SIGKILL);
    for (unsigned ended = 0; ended < KINDS_COUNT + 1; ended++)
        ck_assert_int_gt(waitpid(-1, NULL, 0), 0); /* the orphans come to us; check's timeout */
    ck_assert_ptr_nonnull(strstr(read_trace(), "stop storaged\n"));
    ck_assert_ptr_nonnull(strstr(read_trace(), "stop raftd\n"));
    remove_all();
}
END_TEST

/* Under a daemon's name this program is the stand-in, else it runs the tests. */
#define main run_tests
int run_tests(void);
UNIT_MAIN("launch/node", test_node_starts_in_order_and_stops_in_reverse,
          test_node_next_waits_until_the_one_before_is_ready,
          test_node_killed_daemon_comes_back_alone,
          test_node_permanent_failure_at_the_start_ends_it_with_that_code,
          test_node_passing_failure_at_the_start_is_tried_again,
          test_node_permanent_failure_later_leaves_the_others_running,
          test_node_second_interrupt_kills_what_is_deaf,
          test_node_daemon_deaf_to_sigterm_is_killed_in_the_end,
          test_node_slow_daemon_is_warned_about_and_left_alone,
          test_node_commands_are_answered_when_the_daemon_rests, test_node_status_names_all_daemons,
          test_node_rude_callers_are_bounded_and_harmless,
          test_node_joins_through_its_seeds_once_it_runs,
          test_node_joining_is_tried_again_and_leaves_the_daemons_alone,
          test_node_joining_itself_is_given_up, test_node_stops_while_it_joins,
          test_node_killed_join_is_tried_again, test_node_without_seeds_joins_nobody,
          test_node_killed_launcher_takes_its_daemons_along)
#undef main

int main(int argc, char **argv)
{
    return strncmp(argv[0], "conure-", 7) ? run_tests() : stand_in(argc, argv);
}
