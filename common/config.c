#include "config.h"

#include "config_value.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT(field) offsetof(struct config, field)

const struct config_key config_keys[] = {
    {"node_id", KIND_NAME, AT(node_id), "node1", 0, 0, "stable identity of this node"},
    {"data_dir", KIND_PATH, AT(data_dir), "./data", 0, 0, "the node's state; one node each"},
    {"raft_addr", KIND_ADDRESS, AT(raft_address), "127.0.0.1:7001", 0, 0,
     "address for the other nodes"},
    {"http_addr", KIND_ADDRESS, AT(http_address), ":8081", 0, 0, "address for clients"},
    {"bootstrap", KIND_BOOL, AT(bootstrap), "true", 0, 0,
     "form a cluster of one if there is no state"},
    {"barrier_timeout", KIND_DURATION, AT(barrier_timeout_ms), "3s", 10, 600000,
     "how long a linearizable read may wait"},
    {"seeds", KIND_URLS, AT(seeds), NULL, 0, 0,
     "HTTP URLs of nodes to join through; also CONURE_SEEDS"},
    {"follower_mode", KIND_MODE, AT(follower_mode), "redirect", 0, 0,
     "redirect, proxy or conflict"},
    {"raft_advertise_addr", KIND_ADDRESS, AT(raft_advertise_address), NULL, 0, 0,
     "what other nodes are told (default: raft_addr)"},
    {"http_advertise_addr", KIND_ADDRESS, AT(http_advertise_address), NULL, 0, 0,
     "what redirects show (default: http_addr, with raft_addr's host if it names none)"},
    {"election_timeout", KIND_DURATION, AT(election_timeout_ms), "1s", 50, 600000,
     "silence of the leader before an election"},
    {"heartbeat_interval", KIND_DURATION, AT(heartbeat_interval_ms), "100ms", 10, 60000,
     "pause between the leader's messages"},
    {"key_bytes_max", KIND_SIZE, AT(key_bytes_max), "1024", 1, LIMIT_KEY_BYTES_CAP, "largest key"},
    {"value_bytes_max", KIND_SIZE, AT(value_bytes_max), "1MiB", 1, LIMIT_VALUE_BYTES_CAP,
     "largest value"},
    {NULL},
};

#define KEYS_COUNT (sizeof(config_keys) / sizeof(*config_keys) - 1)
_Static_assert(KEYS_COUNT <= 64, "the YAML reader keeps a bit for each key");

/* A flag's name is its key's with dashes. */
static void key_name(const char *name, char dash, char into[32])
{
    size_t i = 0;
    for (; name[i] && i < 31; i++)
        into[i] = name[i] == '_' ? dash : name[i];
    into[i] = '\0';
}

const struct config_key *config_key_of(const char *name, char dash)
{
    char own[32];
    for (const struct config_key *key = config_keys; key->name; key++) {
        key_name(key->name, dash, own);
        if (!strcmp(own, name))
            return key;
    }
    return NULL;
}

const char *const *config_key_names(char dash)
{
    static char texts[KEYS_COUNT][32];
    static const char *names[KEYS_COUNT + 1];
    for (size_t i = 0; i < KEYS_COUNT; i++) {
        key_name(config_keys[i].name, dash, texts[i]);
        names[i] = texts[i];
    }
    return names;
}

/* ---- flags ---- */

struct flag_reader {
    const struct config_program *program;
    int argc;
    char **argv;
    int at;
    const char *config_path;
    struct error *error;
    struct {
        const struct config_key *key;
        const char *text;
    } sets[64]; /* applied after the file, which --config may name anywhere */
    unsigned sets_count;
};

static void show_flag(const char *name, const char *value, const char *help, const char *fallback)
{
    char left[64];
    snprintf(left, sizeof(left), "--%s%s%s", name, value ? " " : "", value ? value : "");
    printf("  %-34s %s%s%s%s\n", left, help, fallback ? " (default " : "", fallback ? fallback : "",
           fallback ? ")" : "");
}

static const char *kind_word(enum config_kind kind)
{
    static const char *const words[] = {
        [KIND_NAME] = "NAME", [KIND_PATH] = "DIR",          [KIND_ADDRESS] = "ADDR",
        [KIND_BOOL] = NULL,   [KIND_DURATION] = "DURATION", [KIND_SIZE] = "SIZE",
        [KIND_MODE] = "MODE", [KIND_URLS] = "URL,URL"};
    return words[kind];
}

static void show_help(const struct config_program *program)
{
    printf("usage: %s [flags]%s%s\n%s\n\nflags:\n", program->name, program->operands ? " " : "",
           program->operands ? program->operands : "", program->purpose);
    show_flag("config", "FILE", "YAML file with the keys below, '_' for '-'", NULL);
    for (const struct config_key *key = config_keys; key->name; key++) {
        char name[32];
        key_name(key->name, '-', name);
        if (key->kind == KIND_BOOL)
            strcat(name, "[=BOOL]");
        show_flag(name, kind_word(key->kind), key->help, key->fallback);
    }
    for (const struct config_flag *flag = program->flags; flag && flag->name; flag++)
        show_flag(flag->name, flag->value, flag->help, NULL);
    show_flag("help", NULL, "show this", NULL);
    show_flag("version", NULL, "show the version", NULL);
}

static int fail_unknown_flag(const struct flag_reader *reader, const char *name)
{
    const char *near = config_suggest(name, config_key_names('-'));
    return error_set(reader->error, -EINVAL, "unknown flag --%s%s%s%s", name,
                     near ? ": did you mean --" : "", near ? near : "",
                     near ? "?" : " (see --help)");
}

/* The value behind '=' or in the next argument. */
static int flag_value(struct flag_reader *reader, const char *name, const char *inline_value,
                      const char **ret_value)
{
    if (!inline_value && reader->at + 1 >= reader->argc)
        return error_set(reader->error, -EINVAL, "--%s: want a value", name);
    *ret_value = inline_value ? inline_value : reader->argv[++reader->at];
    return 0;
}

static int flag_take_key(struct flag_reader *reader, const struct config_key *key, const char *name,
                         const char *inline_value)
{
    const char *text = inline_value ? inline_value : "true";
    int code = key->kind == KIND_BOOL ? 0 : flag_value(reader, name, inline_value, &text);
    if (code)
        return code;
    if (reader->sets_count == sizeof(reader->sets) / sizeof(*reader->sets))
        return error_set(reader->error, -EINVAL, "--%s: too many flags", name);
    reader->sets[reader->sets_count].key = key;
    reader->sets[reader->sets_count++].text = text;
    return 0;
}

static int flag_take_own(struct flag_reader *reader, const char *name, const char *inline_value)
{
    const struct config_flag *flag = reader->program->flags;
    while (flag && flag->name && strcmp(flag->name, name))
        flag++;
    if (!flag || !flag->name)
        return fail_unknown_flag(reader, name);
    if (flag->value)
        return flag_value(reader, name, inline_value, flag->ret_value);
    if (inline_value)
        return error_set(reader->error, -EINVAL, "--%s: takes no value", name);
    *flag->ret_value = "";
    return 0;
}

static int flag_take(struct flag_reader *reader, const char *argument)
{
    char name[64];
    argument += argument[1] == '-' ? 2 : 1;
    const char *equals = strchr(argument, '=');
    size_t length = equals ? (size_t)(equals - argument) : strlen(argument);
    const char *inline_value = equals ? equals + 1 : NULL;
    if (length == 0 || length >= sizeof(name))
        return error_set(reader->error, -EINVAL, "unknown flag %s (see --help)", argument);
    memcpy(name, argument, length);
    name[length] = '\0';
    if (!strcmp(name, "help") || !strcmp(name, "h")) {
        show_help(reader->program);
        return CONFIG_SHOWN;
    }
    if (!strcmp(name, "version")) {
        printf("%s %s\n", reader->program->name, CONURE_VERSION);
        return CONFIG_SHOWN;
    }
    if (!strcmp(name, "config"))
        return flag_value(reader, name, inline_value, &reader->config_path);
    const struct config_key *key = config_key_of(name, '-');
    return key ? flag_take_key(reader, key, name, inline_value)
               : flag_take_own(reader, name, inline_value);
}

static int flags_read(struct flag_reader *reader)
{
    for (reader->at = 1; reader->at < reader->argc; reader->at++) {
        const char *argument = reader->argv[reader->at];
        if (!strcmp(argument, "--")) {
            reader->at++;
            break;
        }
        if (argument[0] != '-' || !argument[1])
            break;
        int code = flag_take(reader, argument);
        if (code)
            return code;
    }
    if (reader->at < reader->argc && !reader->program->operands)
        return error_set(reader->error, -EINVAL, "unexpected argument \"%s\" (see --help)",
                         reader->argv[reader->at]);
    return 0;
}

static int flags_apply(const struct flag_reader *reader, struct config *config)
{
    for (unsigned i = 0; i < reader->sets_count; i++) {
        struct error reason = {""};
        const struct config_key *key = reader->sets[i].key;
        if (config_set(config, key, reader->sets[i].text, &reason)) {
            char name[32];
            key_name(key->name, '-', name);
            return error_set(reader->error, -EINVAL, "--%s: bad value \"%s\": %s", name,
                             reader->sets[i].text, reason.text);
        }
    }
    return 0;
}

/* ---- the whole ---- */

static void config_set_defaults(struct config *config)
{
    memset(config, 0, sizeof(*config));
    for (const struct config_key *key = config_keys; key->name; key++) {
        int code = key->fallback ? config_set(config, key, key->fallback, NULL) : 0;
        assert(code == 0);
    }
}

/* It can be listened at, but to others it is no place: every machine takes it for itself. */
static bool is_everywhere(const struct config_address *address)
{
    return !address->host[0] || !strcmp(address->host, "0.0.0.0") || !strcmp(address->host, "::");
}

static void config_derive(struct config *config)
{
    if (!config->raft_advertise_address.port)
        config->raft_advertise_address = config->raft_address;
    if (is_everywhere(&config->raft_advertise_address))
        strcpy(config->raft_advertise_address.host, "127.0.0.1");
    if (!config->http_advertise_address.port)
        config->http_advertise_address = config->http_address;
    if (is_everywhere(&config->http_advertise_address))
        strcpy(config->http_advertise_address.host, config->raft_advertise_address.host);
}

static int config_check(const struct config *config, struct error *error)
{
    if (config->election_timeout_ms < 2 * config->heartbeat_interval_ms)
        return error_set(
            error, -EINVAL,
            "election_timeout (%llu ms): want at least twice heartbeat_interval (%llu ms)",
            (unsigned long long)config->election_timeout_ms,
            (unsigned long long)config->heartbeat_interval_ms);
    return 0;
}

static int config_read_environment(struct config *config, struct error *error)
{
    const char *seeds = getenv("CONURE_SEEDS");
    struct error reason = {""};
    if (seeds && config_set(config, config_key_of("seeds", '_'), seeds, &reason))
        return error_set(error, -EINVAL, "CONURE_SEEDS: bad value \"%s\": %s", seeds, reason.text);
    return 0;
}

int config_load(struct config *config, const struct config_program *program, int argc, char **argv,
                int *ret_operands, struct error *error)
{
    struct flag_reader reader = {.program = program, .argc = argc, .argv = argv, .error = error};
    config_set_defaults(config);
    int code = flags_read(&reader);
    if (!code && reader.config_path)
        code = config_read_yaml(config, reader.config_path, error);
    if (!code)
        code = config_read_environment(config, error);
    if (!code)
        code = flags_apply(&reader, config);
    if (!code)
        code = config_check(config, error);
    if (code)
        return code;
    config_derive(config);
    *ret_operands = reader.at;
    return 0;
}

int config_load_or_exit(struct config *config, const struct config_program *program, int argc,
                        char **argv)
{
    struct error error = {""};
    int operands = 0;
    int code = config_load(config, program, argc, argv, &operands, &error);
    if (code == CONFIG_SHOWN)
        exit(EXIT_CODE_OK);
    if (code) {
        fprintf(stderr, "%s: %s\n", program->name, error.text);
        exit(EXIT_CODE_USAGE);
    }
    return operands;
}
