#include "../unit.h"

#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct config_program program = {.name = "test", .purpose = "tests"};
static struct config config;
static struct error error;

static int load(int argc, const char **argv)
{
    int operands;
    error.text[0] = '\0';
    unsetenv("CONURE_SEEDS");
    return config_load(&config, &program, argc, (char **)(uintptr_t)argv, &operands, &error);
}

#define LOAD(...)                                                                                  \
    load(sizeof((const char *[]){"test", __VA_ARGS__}) / sizeof(char *),                           \
         (const char *[]){"test", __VA_ARGS__})

static const char *write_yaml(const char *text)
{
    static char path[] = "/tmp/conure-test-config-XXXXXX";
    strcpy(path + strlen(path) - 6, "XXXXXX");
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    return path;
}

static int load_yaml(const char *text)
{
    const char *path = write_yaml(text);
    int code = LOAD("--config", path);
    unlink(path);
    return code;
}

START_TEST(test_config_defaults_are_the_documented_ones)
{
    char address[300];
    ck_assert_int_eq(load(1, (const char *[]){"test"}), 0);
    ck_assert_str_eq(config.node_id, "node1");
    ck_assert_str_eq(config.data_dir, "./data");
    ck_assert(config.bootstrap);
    ck_assert_uint_eq(config.barrier_timeout_ms, 3000);
    ck_assert_uint_eq(config.election_timeout_ms, 1000);
    ck_assert_uint_eq(config.heartbeat_interval_ms, 100);
    ck_assert_uint_eq(config.key_bytes_max, 1024);
    ck_assert_uint_eq(config.value_bytes_max, 1048576);
    ck_assert_int_eq(config.follower_mode, FOLLOWER_REDIRECT);
    ck_assert_uint_eq(config.seeds_count, 0);
    config_address_format(&config.raft_address, address, sizeof(address));
    ck_assert_str_eq(address, "127.0.0.1:7001");
    config_address_format(&config.http_address, address, sizeof(address));
    ck_assert_str_eq(address, ":8081");
    config_address_format(&config.http_advertise_address, address, sizeof(address));
    ck_assert_str_eq(address, "127.0.0.1:8081");
}
END_TEST

/* Where a node listens everywhere, others are told a place they can come to. */
START_TEST(test_config_every_address_is_not_advertised)
{
    static const char *const everywhere[] = {":8081", "0.0.0.0:8081", "[::]:8081"};
    char address[300];
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_int_eq(LOAD("--raft-addr", "10.0.0.1:7001", "--http-addr", everywhere[i]), 0);
        config_address_format(&config.http_advertise_address, address, sizeof(address));
        ck_assert_str_eq(address, "10.0.0.1:8081");
    }
    ck_assert_int_eq(LOAD("--raft-addr", "0.0.0.0:7001"), 0);
    config_address_format(&config.raft_address, address, sizeof(address));
    ck_assert_str_eq(address, "0.0.0.0:7001");
    config_address_format(&config.raft_advertise_address, address, sizeof(address));
    ck_assert_str_eq(address, "127.0.0.1:7001");
}
END_TEST

START_TEST(test_config_flags_win_over_file_wins_over_defaults)
{
    const char *path = write_yaml("node_id: a\nbarrier_timeout: 5s # comment\nhttp_addr: ':9000'\n"
                                  "bootstrap: false\nseeds:\n  - http://h:1\n  - http://i:2\n");
    ck_assert_int_eq(LOAD("--node-id=b", "--config", path, "-key-bytes-max", "64"), 0);
    unlink(path);
    ck_assert_str_eq(config.node_id, "b");
    ck_assert_uint_eq(config.barrier_timeout_ms, 5000);
    ck_assert_uint_eq(config.http_address.port, 9000);
    ck_assert(!config.bootstrap);
    ck_assert_uint_eq(config.key_bytes_max, 64);
    ck_assert_uint_eq(config.seeds_count, 2);
    ck_assert_str_eq(config.seeds[1], "http://i:2");
}
END_TEST

START_TEST(test_config_bootstrap_takes_its_value_behind_equals_only)
{
    ck_assert_int_eq(LOAD("--bootstrap=false"), 0);
    ck_assert(!config.bootstrap);
    ck_assert_int_eq(LOAD("--bootstrap"), 0);
    ck_assert(config.bootstrap);
    ck_assert_int_eq(LOAD("--bootstrap", "false"), -EINVAL);
    ck_assert_str_eq(error.text, "unexpected argument \"false\" (see --help)");
}
END_TEST

static const struct {
    const char *yaml, *part; /* `part` of the error, behind the file name */
} bad_yaml[] = {
    {"node_id: a\nnodeid: b\n", ":2: unknown key \"nodeid\": did you mean \"node_id\"?"},
    {"zzzzzzzz: b\n", ":1: unknown key \"zzzzzzzz\""},
    {"\n\nbootstrap: maybe\n", ":3: bootstrap: bad value \"maybe\": want true or false"},
    {"barrier_timeout: 3\n", ":1: barrier_timeout: bad value \"3\": want a duration"},
    {"barrier_timeout: 1ms\n", "want 10 to 600000 ms"},
    {"value_bytes_max: 17MiB\n", "want 1 to 16777216 bytes"},
    {"raft_addr: 127.0.0.1\n", ":1: raft_addr: bad value \"127.0.0.1\": want host:port"},
    {"node_id: [a]\n", ":1: node_id: want a single value"},
    {"seeds: http://h:1\n", ":1: seeds: want a list of URLs"},
    {"seeds:\n  - ftp://h\n", ":2: seeds: bad value \"ftp://h\""},
    {"node_id: a\nnode_id: b\n", ":2: node_id: given twice"},
    {"- a\n", ":1: want \"key: value\" lines"},
    {"node_id: b: c\n", ":1: not YAML"},
    {"node_id: 'a\n", "not YAML"},
    {"node_id: a\n---\nnode_id: b\n", ":2: want a single document"},
    {"node_id: \"a\\0b\"\n", "node_id: bad value"},
    {"election_timeout: 100ms\n",
     "election_timeout (100 ms): want at least twice heartbeat_interval"},
};

START_TEST(test_config_bad_yaml_names_line_key_and_what_is_allowed)
{
    for (unsigned i = 0; i < sizeof(bad_yaml) / sizeof(*bad_yaml); i++) {
        ck_assert_int_eq(load_yaml(bad_yaml[i].yaml), -EINVAL);
        ck_assert_msg(strstr(error.text, bad_yaml[i].part) != NULL, "\"%s\" is not in \"%s\"",
                      bad_yaml[i].part, error.text);
        ck_assert_ptr_null(strchr(error.text, '\n'));
    }
}
END_TEST

START_TEST(test_config_empty_file_and_comments_are_no_error)
{
    ck_assert_int_eq(load_yaml(""), 0);
    ck_assert_int_eq(load_yaml("# nothing\n"), 0);
    ck_assert_int_eq(load_yaml("---\n"), 0);
    ck_assert_int_eq(LOAD("--config", "/nonexistent/file"), -ENOENT);
    ck_assert_str_eq(error.text,
                     "cannot read configuration file /nonexistent/file: No such file or directory");
}
END_TEST

START_TEST(test_config_bad_flags_are_named)
{
    ck_assert_int_eq(LOAD("--nodeid", "x"), -EINVAL);
    ck_assert_str_eq(error.text, "unknown flag --nodeid: did you mean --node-id?");
    ck_assert_int_eq(LOAD("--node-id"), -EINVAL);
    ck_assert_str_eq(error.text, "--node-id: want a value");
    ck_assert_int_eq(LOAD("--http-addr", "8081"), -EINVAL);
    ck_assert_ptr_nonnull(strstr(error.text, "--http-addr: bad value \"8081\": want host:port"));
    ck_assert_int_eq(LOAD("--node-id", "a b"), -EINVAL);
    ck_assert_int_eq(LOAD("---"), -EINVAL);
    ck_assert_int_eq(LOAD("--=x"), -EINVAL);
}
END_TEST

START_TEST(test_config_values_grammar)
{
    uint64_t number;
    struct config_address address;
    ck_assert_int_eq(config_parse_duration_ms("500ms", &number, NULL), 0);
    ck_assert_uint_eq(number, 500);
    ck_assert_int_eq(config_parse_duration_ms("2m", &number, NULL), 0);
    ck_assert_uint_eq(number, 120000);
    static const char *const bad_durations[] = {
        "", "-1s", "3", "s", "1.5s", "3 s", "99999999999999999999s", "18446744073709551615m"};
    for (unsigned i = 0; i < sizeof(bad_durations) / sizeof(*bad_durations); i++)
        ck_assert_int_eq(config_parse_duration_ms(bad_durations[i], &number, NULL), -EINVAL);
    ck_assert_int_eq(config_parse_size("64KiB", &number, NULL), 0);
    ck_assert_uint_eq(number, 65536);
    ck_assert_int_eq(config_parse_size("64KB", &number, NULL), -EINVAL);
    ck_assert_int_eq(config_parse_address("[::1]:80", &address, NULL), 0);
    ck_assert_str_eq(address.host, "::1");
    static const char *const bad_addresses[] = {"",           "host",    "host:",  "host:0",
                                                "host:65536", "a b:1",   "::1:80", "[]:80",
                                                "host:1x",    "host:-1", "[::1]"};
    for (unsigned i = 0; i < sizeof(bad_addresses) / sizeof(*bad_addresses); i++)
        ck_assert_msg(config_parse_address(bad_addresses[i], &address, NULL) == -EINVAL, "%s",
                      bad_addresses[i]);
}
END_TEST

START_TEST(test_config_seeds_from_environment_lose_to_the_flag)
{
    int operands;
    setenv("CONURE_SEEDS", "http://a:1,http://b:2", 1);
    const char *argv[] = {"test", "--seeds", "http://c:3"};
    ck_assert_int_eq(config_load(&config, &program, 1, (char **)(uintptr_t)argv, &operands, &error),
                     0);
    ck_assert_uint_eq(config.seeds_count, 2);
    ck_assert_int_eq(config_load(&config, &program, 3, (char **)(uintptr_t)argv, &operands, &error),
                     0);
    ck_assert_uint_eq(config.seeds_count, 1);
    setenv("CONURE_SEEDS", "nonsense", 1);
    ck_assert_int_eq(config_load(&config, &program, 1, (char **)(uintptr_t)argv, &operands, &error),
                     -EINVAL);
    ck_assert_ptr_nonnull(strstr(error.text, "CONURE_SEEDS: bad value \"nonsense\""));
}
END_TEST

UNIT_MAIN("config", test_config_defaults_are_the_documented_ones,
          test_config_every_address_is_not_advertised,
          test_config_flags_win_over_file_wins_over_defaults,
          test_config_bootstrap_takes_its_value_behind_equals_only,
          test_config_bad_yaml_names_line_key_and_what_is_allowed,
          test_config_empty_file_and_comments_are_no_error, test_config_bad_flags_are_named,
          test_config_values_grammar, test_config_seeds_from_environment_lose_to_the_flag)
