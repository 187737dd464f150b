/* Configuration of a node: defaults < YAML file < flags (API.md). One table in config.c describes
 * every key; the YAML reader, the flags and --help are all made from it. */
#pragma once

#include "error.h"
#include "limits.h"

#include <stdbool.h>
#include <stdint.h>

struct config_address {
    char host[256]; /* without brackets; empty: every local address */
    uint16_t port;
};

enum config_follower_mode { FOLLOWER_REDIRECT, FOLLOWER_PROXY, FOLLOWER_CONFLICT };

struct config {
    char node_id[LIMIT_NODE_ID_BYTES_MAX + 1];
    char data_dir[LIMIT_PATH_BYTES_MAX];
    struct config_address raft_address;
    struct config_address http_address;
    struct config_address raft_advertise_address; /* derived from raft_address if not given */
    struct config_address http_advertise_address; /* derived: http_address, its host from raft's if
                                                     that is every address */
    bool bootstrap;
    uint64_t barrier_timeout_ms;
    uint64_t election_timeout_ms;
    uint64_t heartbeat_interval_ms;
    uint64_t key_bytes_max;
    uint64_t value_bytes_max;
    enum config_follower_mode follower_mode;
    char seeds[LIMIT_SEEDS_MAX][LIMIT_URL_BYTES_MAX];
    uint32_t seeds_count;
};

/* A program's own flags, besides the table's. */
struct config_flag {
    const char *name;  /* without dashes */
    const char *value; /* what --help calls its value; NULL: takes none */
    const char *help;
    const char **ret_value; /* set to the value, or to "" for a flag without one */
};

struct config_program {
    const char *name;     /* "conure-storaged" */
    const char *purpose;  /* one line for --help */
    const char *operands; /* what --help shows behind the flags; NULL: no operands allowed */
    const struct config_flag *flags; /* ends with a NULL name */
};

enum config_outcome { CONFIG_SHOWN = 1 /* --help or --version was printed: exit 0 */ };

/* Reads the file named by --config, the environment (CONURE_SEEDS), and the flags, into `config`,
 * each over the one before. Flags are --name VALUE or --name=VALUE (one dash will do, as in Go);
 * --bootstrap takes its value only behind '='. On 0, *ret_operands is the index of the first
 * operand in argv. Errors: CONFIG_SHOWN; -EINVAL with one line naming the flag, or file:line and
 * key, and what is allowed. */
int config_load(struct config *config, const struct config_program *program, int argc, char **argv,
                int *ret_operands, struct error *error);

/* Everything a main() does first: config_load, and on failure the line on stderr as `program:
 * line`, exit 2; on --help, exit 0. Returns the index of the first operand. */
int config_load_or_exit(struct config *config, const struct config_program *program, int argc,
                        char **argv);

/* host:port, with brackets around an IPv6 host. */
void config_address_format(const struct config_address *address, char *into,
                           unsigned long into_bytes);

/* The values' grammars, for tests and other readers. 0 or -EINVAL with the line (what is allowed).
 */
int config_parse_bool(const char *text, bool *ret_value, struct error *error);
int config_parse_duration_ms(const char *text, uint64_t *ret_ms, struct error *error);
int config_parse_size(const char *text, uint64_t *ret_bytes, struct error *error);
int config_parse_address(const char *text, struct config_address *ret_address, struct error *error);
int config_parse_node_id(const char *text, char into[LIMIT_NODE_ID_BYTES_MAX + 1],
                         struct error *error);

/* The candidate nearest to `word` by edit distance, or NULL if none is near: "did you mean ...?".
 * The list ends with NULL. */
const char *config_suggest(const char *word, const char *const *candidates);
