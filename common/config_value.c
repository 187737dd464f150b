#include "config_value.h"

#include "buffer.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* A number and its unit. A bare number has the unit of the empty name, if the table has one. */
struct config_unit {
    const char *name;
    uint64_t scale;
};

static const struct config_unit duration_units[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {NULL, 0}};
static const struct config_unit size_units[] = {
    {"", 1}, {"B", 1}, {"KiB", 1u << 10}, {"MiB", 1u << 20}, {"GiB", 1u << 30}, {NULL, 0}};

static int parse_scaled(const char *text, const struct config_unit *units, uint64_t *ret_value)
{
    char *end;
    errno = 0;
    if (!isdigit((unsigned char)text[0]))
        return -EINVAL;
    unsigned long long number = strtoull(text, &end, 10);
    if (errno)
        return -EINVAL;
    for (; units->name; units++) {
        uint64_t value;
        if (strcmp(end, units->name))
            continue;
        if (__builtin_mul_overflow((uint64_t)number, units->scale, &value))
            return -EINVAL;
        *ret_value = value;
        return 0;
    }
    return -EINVAL;
}

int config_parse_duration_ms(const char *text, uint64_t *ret_ms, struct error *error)
{
    if (parse_scaled(text, duration_units, ret_ms))
        return error_set(error, -EINVAL, "want a duration such as 500ms, 3s or 2m");
    return 0;
}

int config_parse_size(const char *text, uint64_t *ret_bytes, struct error *error)
{
    if (parse_scaled(text, size_units, ret_bytes))
        return error_set(error, -EINVAL, "want a size such as 1024, 64KiB or 1MiB");
    return 0;
}

int config_parse_bool(const char *text, bool *ret_value, struct error *error)
{
    static const char *const words[] = {"false", "true", "0", "1", "no", "yes", "off", "on"};
    for (unsigned i = 0; i < sizeof(words) / sizeof(*words); i++)
        if (!strcasecmp(text, words[i])) {
            *ret_value = i % 2 == 1;
            return 0;
        }
    return error_set(error, -EINVAL, "want true or false");
}

static int parse_port(const char *text, uint16_t *ret_port)
{
    char *end;
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 5 || text[digits])
        return -EINVAL;
    unsigned long port = strtoul(text, &end, 10);
    if (port == 0 || port > 65535)
        return -EINVAL;
    *ret_port = (uint16_t)port;
    return 0;
}

static bool host_is_plain(const char *host, size_t length, const char *more)
{
    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)host[i]) && !strchr(more, host[i]))
            return false;
    return true;
}

int config_parse_address(const char *text, struct config_address *ret_address, struct error *error)
{
    struct config_address address = {0};
    const char *colon = strrchr(text, ':');
    const char *host = text;
    size_t length = colon ? (size_t)(colon - text) : 0;
    const char *more = ".-_";
    if (colon && length >= 2 && host[0] == '[' && host[length - 1] == ']') {
        host++;
        length -= 2;
        more = ":.%";
    }
    if (!colon || length >= sizeof(address.host) || parse_port(colon + 1, &address.port) ||
        !host_is_plain(host, length, more) || (text[0] == '[' && length == 0))
        return error_set(error, -EINVAL,
                         "want host:port, :port or [ipv6]:port with a port from 1 to 65535");
    memcpy(address.host, host, length);
    *ret_address = address;
    return 0;
}

void config_address_format(const struct config_address *address, char *into,
                           unsigned long into_bytes)
{
    const char *form = strchr(address->host, ':') ? "[%s]:%u" : "%s:%u";
    snprintf(into, into_bytes, form, address->host, (unsigned)address->port);
}

static int set_text(char *into, size_t into_bytes, const char *text, struct error *error)
{
    size_t length = strlen(text);
    if (length == 0 || length >= into_bytes)
        return error_set(error, -EINVAL, "want 1 to %zu bytes", into_bytes - 1);
    memcpy(into, text, length + 1);
    return 0;
}

int config_parse_node_id(const char *text, char into[LIMIT_NODE_ID_BYTES_MAX + 1],
                         struct error *error)
{
    size_t length = strlen(text);
    if (length == 0 || length > LIMIT_NODE_ID_BYTES_MAX || !host_is_plain(text, length, "._-"))
        return error_set(error, -EINVAL, "want 1 to %u letters, digits, '.', '_' or '-'",
                         LIMIT_NODE_ID_BYTES_MAX);
    memcpy(into, text, length + 1);
    return 0;
}

static int set_bounded(uint64_t *into, const struct config_key *key, const char *text,
                       struct error *error)
{
    bool is_size = key->kind == KIND_SIZE;
    uint64_t value;
    int code = is_size ? config_parse_size(text, &value, error)
                       : config_parse_duration_ms(text, &value, error);
    if (code)
        return code;
    if (value < key->min || value > key->max)
        return error_set(error, -EINVAL, "want %llu to %llu %s", (unsigned long long)key->min,
                         (unsigned long long)key->max, is_size ? "bytes" : "ms");
    *into = value;
    return 0;
}

static int set_mode(enum config_follower_mode *into, const char *text, struct error *error)
{
    static const char *const names[] = {"redirect", "proxy", "conflict"};
    for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (!strcmp(text, names[i])) {
            *into = (enum config_follower_mode)i;
            return 0;
        }
    return error_set(error, -EINVAL, "want redirect, proxy or conflict");
}

int config_add_seed(struct config *config, const char *url, struct error *error)
{
    size_t length = strlen(url);
    if (strncmp(url, "http://", 7) || length <= 7 || length >= LIMIT_URL_BYTES_MAX ||
        strpbrk(url, " \t\r\n"))
        return error_set(error, -EINVAL, "want URLs such as http://10.0.0.1:8081");
    if (config->seeds_count == LIMIT_SEEDS_MAX)
        return error_set(error, -EINVAL, "want at most %u URLs", LIMIT_SEEDS_MAX);
    memcpy(config->seeds[config->seeds_count++], url, length + 1);
    return 0;
}

static int set_seeds(struct config *config, const char *text, struct error *error)
{
    char *copy = memory_copy_string(text);
    char *rest = NULL;
    int code = 0;
    config->seeds_count = 0;
    for (char *part = strtok_r(copy, ",", &rest); part && !code; part = strtok_r(NULL, ",", &rest))
        code = config_add_seed(config, part, error);
    free(copy);
    return code;
}

int config_set(struct config *config, const struct config_key *key, const char *text,
               struct error *error)
{
    void *field = (char *)config + key->offset;
    switch (key->kind) {
    case KIND_NAME:
        return config_parse_node_id(text, field, error);
    case KIND_PATH:
        return set_text(field, LIMIT_PATH_BYTES_MAX, text, error);
    case KIND_ADDRESS:
        return config_parse_address(text, field, error);
    case KIND_BOOL:
        return config_parse_bool(text, field, error);
    case KIND_DURATION:
    case KIND_SIZE:
        return set_bounded(field, key, text, error);
    case KIND_MODE:
        return set_mode(field, text, error);
    case KIND_URLS:
        return set_seeds(config, text, error);
    }
    abort();
}

/* ---- did you mean ---- */

static unsigned edit_distance(const char *a, const char *b)
{
    enum { WORD_MAX = 40 };
    size_t a_length = strlen(a), b_length = strlen(b);
    unsigned row[WORD_MAX + 1];
    if (a_length > WORD_MAX || b_length > WORD_MAX)
        return WORD_MAX;
    for (unsigned j = 0; j <= b_length; j++)
        row[j] = j;
    for (unsigned i = 1; i <= a_length; i++) {
        unsigned diagonal = row[0];
        row[0] = i;
        for (unsigned j = 1; j <= b_length; j++) {
            unsigned replaced = diagonal + (a[i - 1] != b[j - 1]);
            unsigned inserted = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            diagonal = row[j];
            row[j] = replaced < inserted ? replaced : inserted;
        }
    }
    return row[b_length];
}

const char *config_suggest(const char *word, const char *const *candidates)
{
    const char *best = NULL;
    unsigned best_distance = 1 + (unsigned)strlen(word) / 3;
    for (; *candidates; candidates++) {
        unsigned distance = edit_distance(word, *candidates);
        if (distance <= best_distance) {
            best_distance = distance ? distance - 1 : 0;
            best = *candidates;
        }
    }
    return best;
}
