/* conure-repl against a real node: one-shot, script, and on a pseudo-terminal. */
#include "../unit/unit.h"

#include "lib/client.h"
#include "lib/node.h"

#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct {
    const char *words; /* behind --server URL, for a shell */
    int code;
    const char *output; /* NULL: not looked at */
} one_shots[] = {
    {"put a 'one two'", 0, NULL},
    {"get a", 0, "one two"},
    {"put 'k\\x00\\xff' v2", 0, NULL},
    {"get 'k\\x00\\xff'", 0, "v2"},
    {"get absent", 3, NULL},
    {"delete a", 0, NULL},
    {"get a", 3, NULL},
    {"delete a", 0, NULL},
    {"put b1 'x y'", 0, NULL},
    {"put b2 'tab\tend'", 0, NULL},
    {"scan b", 0, "b1\tx y\nb2\ttab\\x09end\n"},
    {"scan b --keys", 0, "b1\nb2\n"},
    {"scan b --limit 1 --base64", 0, "b1\teCB5\n"},
    {"scan b --limit 1 --json", 0, "{\"key\":\"b1\",\"value\":\"x y\",\"revision\":"},
    {"scan nothing-here", 0, ""},
    {"scan b --limit x", 2, NULL},
    {"get b1 --timing 2>/dev/null", 0, "x y"},
    {"get b1 --timing 2>&1 >/dev/null | grep -cE '^[0-9]+\\.[0-9]{3} ms$'", 0, "1\n"},
    {"status", 0, NULL},
    {"help", 0, NULL},
    {"put onlykey", 2, NULL},
    {"gett a", 2, NULL},
    {"--nonsense get a", 2, NULL},
};

START_TEST(test_repl_one_shot_outputs_and_exit_codes)
{
    struct node node;
    char output[8192];
    node_new(&node, NULL);
    node_start(&node);
    for (unsigned i = 0; i < sizeof(one_shots) / sizeof(*one_shots); i++) {
        int code = run_command(output, sizeof(output), "timeout 30 %s --server %s %s",
                               binary("conure-repl"), node.url, one_shots[i].words);
        ck_assert_msg(code == one_shots[i].code, "%s: exit %d instead of %d: %s",
                      one_shots[i].words, code, one_shots[i].code, output);
        if (one_shots[i].output)
            ck_assert_msg(!strncmp(output, one_shots[i].output, strlen(one_shots[i].output)),
                          "%s: \"%s\"", one_shots[i].words, output);
    }
    node_free(&node);
    int code = run_command(output, sizeof(output), "timeout 30 %s --server %s get a",
                           binary("conure-repl"), node.url);
    ck_assert_msg(code == 5, "exit %d: %s", code, output);
}
END_TEST

START_TEST(test_repl_script_on_stdin)
{
    struct node node;
    char output[8192];
    node_new(&node, NULL);
    node_start(&node);
    int code = run_command(output, sizeof(output),
                           "printf 'put s1 \"a b\"\\nget s1\\nput s2 x\\\\n\\nget s2\\nexit\\n' | "
                           "timeout 30 %s --server %s",
                           binary("conure-repl"), node.url);
    ck_assert_msg(code == 0, "exit %d: %s", code, output);
    ck_assert_msg(strstr(output, "a b") != NULL, "%s", output);
    code = run_command(output, sizeof(output),
                       "printf 'get nothing-here\\n' | timeout 30 %s --server %s",
                       binary("conure-repl"), node.url);
    ck_assert_msg(code == 3, "exit %d: %s", code, output);
    node_free(&node);
}
END_TEST

/* Reads what the terminal shows until `part` is there. */
static void expect(const struct node *node, int terminal, const char *part)
{
    static char seen[65536];
    size_t length = 0;
    uint64_t until_ms = now_ms() + 15000;
    seen[0] = '\0';
    while (!strstr(seen, part) && now_ms() < until_ms && length + 1 < sizeof(seen)) {
        ssize_t got = read(terminal, seen + length, sizeof(seen) - 1 - length);
        if (got <= 0)
            break;
        length += (size_t)got;
        seen[length] = '\0';
    }
    if (!strstr(seen, part)) {
        fprintf(stderr, "the terminal shows: %s\n", seen);
        node_fail(node, __FILE__, __LINE__, part);
    }
}

static void type(int terminal, const char *line)
{
    ck_assert_int_eq(write(terminal, line, strlen(line)), (ssize_t)strlen(line));
}

/* Puts until one is shown: when the watch begins cannot be seen from here. */
static void expect_watch(struct node *node, int terminal)
{
    char output[256], seen[4096];
    size_t length = 0;
    uint64_t until_ms = now_ms() + 10000;
    do {
        struct pollfd ready = {.fd = terminal, .events = POLLIN};
        ck_assert_int_eq(run_command(output, sizeof(output), "%s --server %s put t2 seen",
                                     binary("conure-repl"), node->url),
                         0);
        if (poll(&ready, 1, 100) == 1) {
            ssize_t got = read(terminal, seen + length, sizeof(seen) - 1 - length);
            ck_assert_int_gt(got, 0);
            length += (size_t)got;
        }
        seen[length] = '\0';
        ck_assert_msg(now_ms() < until_ms && length < sizeof(seen) - 1, "%s", seen);
    } while (!strstr(seen, "put\tt2\tseen\r\n"));
}

START_TEST(test_repl_interactive_with_history)
{
    struct node node;
    int terminal, status;
    char home[128], output[1024];
    node_new(&node, NULL);
    node_start(&node);
    snprintf(home, sizeof(home), "%s/state", node.folder);
    pid_t pid = forkpty(&terminal, NULL, NULL, NULL);
    if (pid < 0) { /* a chroot without /dev/pts */
        fprintf(stderr, "no pseudo-terminals here: the interactive shell is not tested\n");
        node_free(&node);
        return;
    }
    if (pid == 0) {
        setenv("XDG_STATE_HOME", home, 1);
        setenv("TERM", "dumb", 1);
        execl(binary("conure-repl"), "conure-repl", "--server", node.url, (char *)NULL);
        _exit(127);
    }
    expect(&node, terminal, "conure");
    type(terminal, "put t1 typed-value\r");
    expect(&node, terminal, "OK");
    type(terminal, "get t1\r");
    expect(&node, terminal, "typed-value\r\n");
    type(terminal, "put 'a long key' v2\r"); /* Tab: a command, then a key, up to where two differ,
                                                and whole */
    expect(&node, terminal, "OK");
    type(terminal, "put 'a long kex' v3\r");
    expect(&node, terminal, "OK");
    type(terminal, "ge\ta\ty\r");
    expect(&node, terminal, "v2\r\n");
    type(terminal, "ge\ta\\ long\\ kex\t\r");
    expect(&node, terminal, "v3\r\n");
    type(terminal, "get t\t\r");
    expect(&node, terminal, "typed-value\r\n");
    type(terminal, "watch t\r"); /* until Ctrl-C; then there is a prompt again */
    expect_watch(&node, terminal);
    type(terminal, "\003");
    type(terminal, "get t1\r");
    expect(&node, terminal, "typed-value\r\n");
    type(terminal, "exit\r");
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    close(terminal);
    ck_assert_int_eq(
        run_command(output, sizeof(output), "grep -rq 'put.*t1.*typed-value' %s/conure", home), 0);
    node_free(&node);
}
END_TEST

static unsigned lines_of(const char *path)
{
    char output[32];
    (void)run_command(output, sizeof(output), "cat %s 2>/dev/null | wc -l", path);
    return (unsigned)atoi(output);
}

/* httpd is started again in the middle, and the next server is nobody: nothing is lost, and nothing
 * shown twice. */
START_TEST(test_repl_watch_goes_on_behind_what_it_has_shown)
{
    struct node node;
    char output[8192], path[128], expected[1024] = "";
    node_new(&node, NULL);
    node_start(&node);
    snprintf(path, sizeof(path), "%s/watched", node.folder);
    pid_t pid = fork();
    if (pid == 0) {
        char servers[256];
        snprintf(servers, sizeof(servers), "%s,127.0.0.1:1", node.url);
        if (!freopen(path, "w", stdout))
            _exit(126);
        execl(binary("conure-repl"), "conure-repl", "--server", servers, "watch", "w/",
              (char *)NULL);
        _exit(127);
    }
    struct client *client = client_new(node.url, 10000);
    NODE_WAIT(&node,
              strstr(client_do(client, "GET", "/metrics", NULL, 0, NULL).body,
                     "path=\"/watch\",method=\"GET\",code=\"200\"} 1\n"),
              10000);
    for (unsigned i = 0; i < 9; i++) {
        char target[32], line[64];
        snprintf(target, sizeof(target), "/kv/w%%2F%u", i);
        snprintf(line, sizeof(line), i % 3 == 2 ? "delete\tw/%u\n" : "put\tw/%u\tone\\x0atwo\n",
                 i % 3 == 2 ? i - 1 : i);
        if (i % 3 == 2)
            snprintf(target, sizeof(target), "/kv/w%%2F%u", i - 1);
        strcat(expected, line);
        if (i == 0) /* what happens before the first event it has seen is not lost either */
            ck_assert_int_eq(kill(pid, SIGSTOP), 0);
        if (i == 0 || i == 3 || i == 7)
            ck_assert_int_eq(node_launch_command(&node, "restart httpd", output, sizeof(output)),
                             0);
        struct answer answer = i % 3 == 2 ? client_do(client, "DELETE", target, NULL, 0, NULL)
                                          : client_do(client, "PUT", target, "one\ntwo", 7, NULL);
        ck_assert_int_eq(answer.status, 200);
        ck_assert_int_eq(kill(pid, SIGCONT), 0);
    }
    NODE_WAIT(&node, lines_of(path) >= 9, 10000);
    ck_assert_int_eq(run_command(output, sizeof(output), "cat %s", path), 0);
    ck_assert_str_eq(output, expected);
    ck_assert_int_eq(kill(pid, SIGINT), 0);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    client_free(client);
    node_free(&node);
    int code = run_command(output, sizeof(output), "timeout 30 %s --server %s watch",
                           binary("conure-repl"), node.url);
    ck_assert_int_eq(code, 5); /* what never began is not waited for */
}
END_TEST

UNIT_MAIN("repl", test_repl_watch_goes_on_behind_what_it_has_shown,
          test_repl_one_shot_outputs_and_exit_codes, test_repl_script_on_stdin,
          test_repl_interactive_with_history)
