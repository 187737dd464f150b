/* Bad input: one clear line, the documented exit code, nothing changed on disk. */
#include "../unit/unit.h"

#include "lib/client.h"
#include "lib/node.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What the data directory holds, but for run/ and the mapped file's times. */
static void digest(const struct node *node, char into[128])
{
    (void)run_command(into, 128,
                      "cd %s && find . -path ./data/run -prune -o -type f ! -name launch.log "
                      "-print0 | sort -z | xargs -0 sha256sum | sha256sum",
                      node->folder);
}

static unsigned lines_with(const char *output, const char *part)
{
    unsigned count = 0;
    for (const char *at = output; (at = strstr(at, part)); at++)
        count++;
    return count;
}

static const struct {
    const char *arguments; /* behind the binary */
    const char *yaml;      /* instead of the usual file, or NULL */
    int code;
    const char *line;
} bad_starts[] = {
    {"--nodeid x", NULL, 2, "unknown flag --nodeid: did you mean --node-id?"},
    {"--http-addr nonsense", NULL, 2, "--http-addr: bad value \"nonsense\""},
    {"--barrier-timeout 3", NULL, 2, "want a duration"},
    {"--config", NULL, 2, "--config: want a value"},
    {"--config /nonexistent.yaml", NULL, 2, "cannot read configuration file /nonexistent.yaml"},
    {NULL, "node_id: a\nnode_idd: b\n", 2,
     "node.yaml:2: unknown key \"node_idd\": did you mean \"node_id\"?"},
    {NULL, "bootstrap: perhaps\n", 2,
     "node.yaml:1: bootstrap: bad value \"perhaps\": want true or false"},
    {NULL, "node_id: 'a\n", 2, "not YAML"},
    {"--data-dir /proc/version/data", NULL, 1,
     "cannot use data directory /proc/version/data: Not a directory"},
};

static const char *const programs[] = {"conure-launch", "conure-storaged", "conure-raftd",
                                       "conure-httpd"};

START_TEST(test_refusals_bad_flags_and_yaml_are_named)
{
    char output[4096], before[128], after[128];
    for (unsigned i = 0; i < sizeof(bad_starts) / sizeof(*bad_starts); i++)
        for (unsigned p = 0; p < 4; p++) {
            struct node node;
            char arguments[256];
            node_new(&node, NULL);
            if (bad_starts[i].yaml) {
                FILE *file = fopen(node.config, "w");
                fputs(bad_starts[i].yaml, file);
                fclose(file);
            }
            snprintf(arguments, sizeof(arguments), "--config %s", node.config);
            digest(&node, before);
            int code = run_command(output, sizeof(output), "cd %s && timeout 20 %s %s", node.folder,
                                   binary(programs[p]),
                                   bad_starts[i].arguments ? bad_starts[i].arguments : arguments);
            ck_assert_msg(code == bad_starts[i].code && strstr(output, bad_starts[i].line),
                          "%s %s: exit %d: %s", programs[p],
                          bad_starts[i].arguments ? bad_starts[i].arguments : bad_starts[i].yaml,
                          code, output);
            ck_assert_msg(lines_with(output, "\n") == 1, "not one line: %s", output);
            digest(&node, after);
            ck_assert_str_eq(before, after);
            node_free(&node);
        }
}
END_TEST

/* Starts the launcher where it must fail; returns its exit code. */
static int failing_start(const struct node *node, char *output, unsigned output_bytes)
{
    return run_command(output, output_bytes, "timeout 60 %s --config %s", binary("conure-launch"),
                       node->config);
}

START_TEST(test_refusals_busy_port_and_locked_directory)
{
    struct node node, other;
    char output[8192], before[128], after[128];
    node_new(&node, NULL);
    node_start(&node);
    ck_assert_int_eq(failing_start(&node, output, sizeof(output)), 1);
    ck_assert_ptr_nonnull(strstr(output, "data directory is in use"));
    node_new(&other, NULL);
    digest(&other, before);
    int code =
        run_command(output, sizeof(output), "timeout 60 %s --config %s --http-addr 127.0.0.1:%u",
                    binary("conure-launch"), other.config, node.http_port);
    ck_assert_int_eq(code, 1);
    ck_assert_ptr_nonnull(strstr(output, "Address already in use"));
    ck_assert_uint_eq(lines_with(output, "level=error"), 1);
    digest(&other, after);
    ck_assert_str_eq(before, after);
    ck_assert(node_is_ready(&node));
    node_free(&other);
    node_free(&node);
}
END_TEST

static void flip(const char *path, long offset)
{
    int fd = open(path, O_RDWR);
    unsigned char byte;
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pread(fd, &byte, 1, offset), 1);
    byte ^= 0x20;
    ck_assert_int_eq(pwrite(fd, &byte, 1, offset), 1);
    close(fd);
}

static const struct {
    const char *file;
    long offsets[2];
    const char *more; /* flags instead of damage */
    const char *line;
} damages[] = {
    {"conure.db",
     {60, 4096 + 60},
     NULL,
     "conure.db is damaged: neither of its meta pages is valid"},
    {"raft/00000000000000000001.log",
     {200, 200},
     NULL,
     NULL}, /* set below: twice the same offset would undo itself */
    {"raft/hard_state", {20, -1}, NULL, "raft/hard_state is damaged"},
    {NULL, {0, 0}, "--node-id other", "data directory belongs to node node1, not to other"},
};

START_TEST(test_refusals_damaged_or_foreign_files_are_left_as_they_are)
{
    char output[16384], before[128], after[128], path[256];
    for (unsigned i = 0; i < sizeof(damages) / sizeof(*damages); i++) {
        struct node node;
        node_new(&node, NULL);
        node_start(&node);
        struct client *client = client_new(node.url, 10000);
        for (int k = 0; k < 50; k++)
            ck_assert_int_eq(client_do(client, "PUT", "/kv/a", "some value", 10, NULL).status, 200);
        client_free(client);
        node_stop(&node);
        const char *line = damages[i].line;
        if (damages[i].file) {
            snprintf(path, sizeof(path), "%s/%s", node.data, damages[i].file);
            flip(path, damages[i].offsets[0]);
            if (damages[i].offsets[1] >= 0 && damages[i].offsets[1] != damages[i].offsets[0])
                flip(path, damages[i].offsets[1]);
            if (!line)
                line = "a record is broken that was durable before";
        }
        digest(&node, before);
        int code = run_command(output, sizeof(output), "timeout 60 %s --config %s %s",
                               binary("conure-launch"), node.config,
                               damages[i].more ? damages[i].more : "");
        ck_assert_msg(strstr(output, line) != NULL, "no \"%s\" in: %s", line, output);
        ck_assert_msg(code == 125 || code == 1, "exit %d: %s", code, output);
        ck_assert_msg(lines_with(output, "event=start_failed") == 1, "%s", output);
        digest(&node, after);
        ck_assert_msg(!strcmp(before, after), "case %u changed the disk", i);
        node_free(&node);
    }
}
END_TEST

START_TEST(test_refusals_removed_log_or_tree_is_told_apart_from_a_new_node)
{
    struct node node;
    char output[16384];
    node_new(&node, NULL);
    node_start(&node);
    struct client *client = client_new(node.url, 10000);
    for (int k = 0; k < 20; k++)
        ck_assert_int_eq(client_do(client, "PUT", "/kv/a", "some value", 10, NULL).status, 200);
    client_free(client);
    node_stop(&node);
    (void)run_command(output, sizeof(output), "rm -r %s/raft", node.data);
    for (int start = 0; start < 3; start++) { /* however often */
        (void)run_command(output, sizeof(output), "timeout 6 %s --config %s",
                          binary("conure-launch"), node.config);
        ck_assert_msg(strstr(output, "conure.db has applied index") != NULL, "%s", output);
        (void)run_command(output, sizeof(output), "ls %s/raft", node.data);
        ck_assert_str_eq(output, ""); /* nothing was made in its place */
    }
    node_free(&node);
}
END_TEST

/* conure-launch killed alone: no daemon stays, and a new one starts at once with the data there. */
START_TEST(test_launcher_killed_leaves_no_orphan)
{
    struct node node;
    node_new(&node, NULL);
    node_start(&node);
    struct client *client = client_new(node.url, 10000);
    ck_assert_int_eq(client_do(client, "PUT", "/kv/a", "kept", 4, NULL).status, 200);
    client_free(client);
    pid_t storaged = node_daemon_pid(&node, "storaged"), httpd = node_daemon_pid(&node, "httpd");
    kill(node.pid, SIGKILL);
    NODE_WAIT(&node, kill(storaged, 0) != 0 && kill(httpd, 0) != 0, 10000);
    node_start(&node);
    client = client_new(node.url, 10000);
    ck_assert_str_eq(client_do(client, "GET", "/kv/a", NULL, 0, NULL).body, "kept");
    client_free(client);
    node_free(&node);
}
END_TEST

UNIT_MAIN("refusals", test_refusals_bad_flags_and_yaml_are_named,
          test_refusals_busy_port_and_locked_directory,
          test_refusals_damaged_or_foreign_files_are_left_as_they_are,
          test_refusals_removed_log_or_tree_is_told_apart_from_a_new_node,
          test_launcher_killed_leaves_no_orphan)
