/* The table of configuration keys and how a value of each kind is read. Private to config*.c. */
#pragma once

#include "config.h"

enum config_kind {
    KIND_NAME,
    KIND_PATH,
    KIND_ADDRESS,
    KIND_BOOL,
    KIND_DURATION,
    KIND_SIZE,
    KIND_MODE,
    KIND_URLS,
};

struct config_key {
    const char *name; /* as in YAML; the flag has dashes for underscores */
    enum config_kind kind;
    unsigned long offset; /* in struct config */
    const char *fallback; /* the default's text; NULL: derived or none */
    uint64_t min, max;    /* of durations (ms) and sizes (bytes) */
    const char *help;
};

/* Ends with a NULL name. */
extern const struct config_key config_keys[];

const struct config_key *config_key_of(const char *name, char dash);
/* Names of all keys for config_suggest, with `dash` between words; static, ends with NULL. */
const char *const *config_key_names(char dash);

/* Reads `text` into the key's field. -EINVAL with what is allowed (the caller names key and place).
 */
int config_set(struct config *config, const struct config_key *key, const char *text,
               struct error *error);
/* Adds one URL to the seeds. */
int config_add_seed(struct config *config, const char *url, struct error *error);

/* Reads the file over what is in `config`. -EINVAL or another negative errno, with file:line. */
int config_read_yaml(struct config *config, const char *path, struct error *error);
