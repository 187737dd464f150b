#include "uri.h"

#include "buffer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Decodes `length` bytes in place, with a NUL behind them; returns the decoded length or -EINVAL.
 */
static long decode_in_place(char *text, size_t length, bool plus_is_space)
{
    size_t out = 0;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c <= 0x20 || c >= 0x7f)
            return -EINVAL;
        if (c == '%') {
            bool whole = i + 2 < length;
            int high = whole ? hex_digit(text[i + 1]) : -1;
            int low = whole ? hex_digit(text[i + 2]) : -1;
            if (high < 0 || low < 0)
                return -EINVAL;
            text[out++] = (char)(high * 16 + low);
            i += 2;
        } else {
            text[out++] = c == '+' && plus_is_space ? ' ' : (char)c;
        }
    }
    text[out] = '\0';
    return (long)out;
}

static int decode_part(char *text, size_t length, bool query, struct uri_bytes *ret_part,
                       struct error *error)
{
    long decoded = decode_in_place(text, length, query);
    if (decoded < 0)
        return error_set(
            error, -EINVAL,
            "the request target is not percent-encoded: want %%XX for every byte outside of "
            "printable ASCII and for '%%' itself");
    *ret_part = (struct uri_bytes){(const uint8_t *)text, (size_t)decoded};
    return 0;
}

static int parse_parameter(struct uri *uri, char *text, struct error *error)
{
    struct uri_parameter parameter;
    char *equals = strchr(text, '=');
    char *value = equals ? equals + 1 : text + strlen(text);
    size_t name_length = equals ? (size_t)(equals - text) : strlen(text);
    size_t value_length = strlen(value);
    int code = decode_part(value, value_length, true, &parameter.value, error);
    if (!code)
        code = decode_part(text, name_length, true, &parameter.name, error);
    if (code)
        return code;
    for (unsigned i = 0; i < uri->parameters_count; i++)
        if (uri->parameters[i].name.length == parameter.name.length &&
            !memcmp(uri->parameters[i].name.bytes, parameter.name.bytes, parameter.name.length))
            return error_set(error, -EINVAL, "query parameter \"%.32s\" is given twice",
                             (const char *)parameter.name.bytes);
    if (uri->parameters_count == URI_PARAMETERS_MAX)
        return error_set(error, -EINVAL, "want at most %u query parameters", URI_PARAMETERS_MAX);
    uri->parameters[uri->parameters_count++] = parameter;
    return 0;
}

static int parse_query(struct uri *uri, char *query, struct error *error)
{
    char *rest = NULL;
    int code = 0;
    for (char *part = strtok_r(query, "&", &rest); part && !code; part = strtok_r(NULL, "&", &rest))
        code = parse_parameter(uri, part, error);
    return code;
}

/* The key is split off before decoding: an escaped slash belongs to it. */
static int parse_path(struct uri *uri, char *path, struct error *error)
{
    static const char prefix[] = "/kv/";
    size_t length = strlen(path);
    if (!strncmp(path, prefix, sizeof(prefix) - 1)) {
        char *key = path + sizeof(prefix) - 1;
        int code = decode_part(key, strlen(key), false, &uri->key, error);
        if (code)
            return code;
        path[sizeof(prefix) - 2] = '\0';
        length = sizeof(prefix) - 2;
    }
    return decode_part(path, length, false, &uri->path, error);
}

int uri_parse(struct uri *uri, const char *target, struct error *error)
{
    *uri = (struct uri){0};
    if (target[0] != '/')
        return error_set(error, -EINVAL, "want a request target that begins with '/'");
    if (strchr(target, '#'))
        return error_set(error, -EINVAL, "a request target has no fragment");
    uri->memory = memory_copy_string(target);
    char *query = strchr(uri->memory, '?');
    if (query)
        *query++ = '\0';
    int code = parse_path(uri, uri->memory, error);
    if (!code && query)
        code = parse_query(uri, query, error);
    if (code)
        uri_free(uri);
    return code;
}

void uri_free(struct uri *uri)
{
    free(uri->memory);
    *uri = (struct uri){0};
}

struct uri_bytes uri_parameter(const struct uri *uri, const char *name)
{
    for (unsigned i = 0; i < uri->parameters_count; i++)
        if (uri->parameters[i].name.length == strlen(name) &&
            !memcmp(uri->parameters[i].name.bytes, name, strlen(name)))
            return uri->parameters[i].value;
    return (struct uri_bytes){0};
}

const char *uri_unknown_parameter(const struct uri *uri, const char *const *known)
{
    for (unsigned i = 0; i < uri->parameters_count; i++) {
        const char *name = (const char *)uri->parameters[i].name.bytes;
        const char *const *at = known;
        while (*at && strcmp(*at, name))
            at++;
        if (!*at)
            return name;
    }
    return NULL;
}
