/* A node of real processes for a test: a temporary data directory, free ports, conure-launch with
 * its log in a file. What was started ends with the test's process, however that ends: the launcher
 * dies with it, and the daemons with the launcher. The folder of a test that failed stays. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct node {
    char id[32];
    char folder[64]; /* holds node.yaml, launch.log and data/ */
    char config[96];
    char log[96];
    char data[96];
    char url[64];          /* http://HOST:PORT */
    char raft_address[64]; /* HOST:PORT */
    char http_address[64]; /* as node.yaml has it */
    uint16_t http_port, raft_port;
    int namespace_fd;   /* of the network it runs in; 0: the test's own */
    pid_t pid;          /* of conure-launch; 0: not running */
    pid_t frozen[4];    /* stopped by node_freeze; 0: none */
    uint64_t killed_ms; /* when node_kill_all last killed it */
};

/* What makes one node another than the next; zeros for the usual. */
struct node_options {
    const char *id;                /* node1 */
    const char *host;              /* 127.0.0.1 */
    const char *http_addr;         /* as it stands in node.yaml: HOST:PORT */
    uint16_t http_port, raft_port; /* free ones */
    int namespace_fd;              /* the test's own network */
    const char *more;              /* lines of node.yaml behind these; none */
};

/* Milliseconds of a monotonic clock. */
uint64_t now_ms(void);

/* The path of a binary of this build, from $CONURE_BIN. */
const char *binary(const char *name);

/* Waits until the condition holds, at most `wait_ms`; fails the test with the log's tail otherwise.
 */
#define NODE_WAIT(node, condition, wait_ms)                                                        \
    do {                                                                                           \
        uint64_t until_ms_ = now_ms() + (wait_ms);                                                 \
        bool holds_ = condition; /* looked at once a time: it may be a race */                     \
        for (; !holds_ && now_ms() < until_ms_; holds_ = condition)                                \
            node_pause();                                                                          \
        if (!holds_)                                                                               \
            node_fail(node, __FILE__, __LINE__, "waited " #wait_ms " ms for " #condition);         \
    } while (0)

void node_pause(void); /* 5 ms between two looks at a condition */
void node_fail(const struct node *node, const char *file, int line, const char *what)
    __attribute__((noreturn));
/* What node_fail is to print besides, as long as the test runs: the other nodes. */
void node_on_fail(void (*fn)(void *context), void *context);
/* The log's last lines, on stderr. */
void node_print_log(const struct node *node, unsigned lines);

/* Makes folder and node.yaml (with `more` behind the usual lines); starts nothing. */
void node_new(struct node *node, const char *more);
void node_new_with(struct node *node, const struct node_options *options);
/* Writes node.yaml again, with other lines behind the usual ones. */
void node_configure(const struct node *node, const char *more);
/* The whole data directory goes, as with a new disk. The node does not run. */
void node_wipe(const struct node *node);
/* Starts conure-launch. */
void node_launch(struct node *node);
/* The same, and waits until /readyz says 200. */
void node_start(struct node *node);
/* SIGTERM; waits for exit 0 and that none of the daemons is left. */
void node_stop(struct node *node);
/* kill -9 of the launcher and all daemons. */
void node_kill_all(struct node *node);
/* SIGSTOP of the launcher and all daemons, and SIGCONT: a machine that stands still. The node must
 * be whole when it is frozen; killing it thaws it first. */
void node_freeze(struct node *node);
void node_thaw(struct node *node);
/* Stops what runs and removes the folder (CONURE_KEEP in the environment: names it). */
void node_free(struct node *node);

/* The launcher is gone, by itself. */
bool node_has_ended(struct node *node);
bool node_is_ready(const struct node *node);
/* Pid of a daemon as the launcher's status says, 0 if it has none now. */
pid_t node_daemon_pid(const struct node *node, const char *daemon);
/* kill -9 of one daemon; waits until it runs again, under another pid. */
void node_kill_daemon(const struct node *node, const char *daemon);
/* Runs `conure-launch --config ... WORDS`, output in *ret_output (caller's, of output_bytes);
 * returns its exit code. */
int node_launch_command(const struct node *node, const char *words, char *ret_output,
                        unsigned output_bytes);
/* How many lines of the launcher's log have all of these parts (NULL: ignored). */
unsigned node_log_count(const struct node *node, const char *a, const char *b, const char *c);

/* Runs a shell command, output (both streams) into the buffer; returns the exit code. */
int run_command(char *ret_output, unsigned output_bytes, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
