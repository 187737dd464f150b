/* One pass over the target finds its path, one over each parameter decodes it. Decoded text is
 * never longer than what it came from, so the scratch space of the target's length holds all of it:
 * the parameters first, the path's part behind them. */
#include "uri.h"

#include <errno.h>
#include <string.h>

static int hex_digit(uint8_t byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    if (byte >= 'a' && byte <= 'f')
        return byte - 'a' + 10;
    if (byte >= 'A' && byte <= 'F')
        return byte - 'A' + 10;
    return -1;
}

int uri_decode(const uint8_t *text, size_t length, bool is_query, uint8_t *into, size_t *ret_length)
{
    size_t written = 0;
    for (size_t i = 0; i < length; i++) {
        uint8_t byte = text[i];
        if (byte == '+' && is_query) {
            byte = ' ';
        } else if (byte == '%') {
            if (length - i < 3)
                return -EINVAL;
            int high = hex_digit(text[i + 1]), low = hex_digit(text[i + 2]);
            if (high < 0 || low < 0)
                return -EINVAL;
            byte = (uint8_t)(high << 4 | low);
            i += 2;
        }
        into[written++] = byte;
    }
    *ret_length = written;
    return 0;
}

static bool parameter_is(const struct uri_parameter *parameter, const char *name)
{
    return parameter->name_bytes == strlen(name) &&
           !memcmp(parameter->name, name, parameter->name_bytes);
}

const struct uri_parameter *uri_find(const struct uri *uri, const char *name)
{
    for (unsigned i = 0; i < uri->parameters_count; i++)
        if (parameter_is(&uri->parameters[i], name))
            return &uri->parameters[i];
    return NULL;
}

bool uri_value_is(const struct uri_parameter *parameter, const char *text)
{
    return parameter->value_bytes == strlen(text) &&
           !memcmp(parameter->value, text, parameter->value_bytes);
}

const struct uri_parameter *uri_find_unknown(const struct uri *uri, const char *const *names)
{
    for (unsigned i = 0; i < uri->parameters_count; i++) {
        const char *const *name = names;
        while (*name && !parameter_is(&uri->parameters[i], *name))
            name++;
        if (!*name)
            return &uri->parameters[i];
    }
    return NULL;
}

/* Decodes one `name=value` into the next parameter. */
static int uri_add(struct uri *uri, const uint8_t *text, size_t length, struct error *error)
{
    if (length == 0)
        return error_set(error, -EINVAL, "the query has an empty parameter");
    if (uri->parameters_count == HTTPD_PARAMETERS_MAX)
        return error_set(error, -EINVAL, "the query has more than %u parameters",
                         HTTPD_PARAMETERS_MAX);
    const uint8_t *equals = memchr(text, '=', length);
    size_t name_length = equals ? (size_t)(equals - text) : length;
    size_t value_length = equals ? length - name_length - 1 : 0;
    struct uri_parameter new = {.has_value = equals != NULL};
    uint8_t *value = uri->room;
    if (uri_decode(text, name_length, true, uri->room, &new.name_bytes))
        return error_set(error, -EINVAL, "a query parameter's name is not well percent-encoded");
    new.name = uri->room;
    value += new.name_bytes;
    if (equals && uri_decode(equals + 1, value_length, true, value, &new.value_bytes))
        return error_set(error, -EINVAL, "query parameter '%.*s' is not well percent-encoded",
                         (int)new.name_bytes, (const char *)new.name);
    new.value = value;
    for (unsigned i = 0; i < uri->parameters_count; i++)
        if (uri->parameters[i].name_bytes == new.name_bytes &&
            !memcmp(uri->parameters[i].name, new.name, new.name_bytes))
            return error_set(error, -EINVAL, "query parameter '%.*s' is given twice",
                             (int)new.name_bytes, (const char *)new.name);
    uri->room = value + new.value_bytes;
    uri->parameters[uri->parameters_count++] = new;
    return 0;
}

static int uri_split_query(struct uri *uri, const uint8_t *query, size_t length,
                           struct error *error)
{
    if (length == 0)
        return 0;
    for (;;) {
        const uint8_t *end = memchr(query, '&', length);
        size_t part = end ? (size_t)(end - query) : length;
        int code = uri_add(uri, query, part, error);
        if (code || !end)
            return code;
        query += part + 1;
        length -= part + 1;
    }
}

int uri_parse(const char *target, size_t target_bytes, uint8_t *scratch, struct uri *ret_uri,
              struct error *error)
{
    const uint8_t *text = (const uint8_t *)target;
    const uint8_t *mark = memchr(text, '?', target_bytes);
    struct uri uri = {
        .path = text,
        .path_bytes = mark ? (size_t)(mark - text) : target_bytes,
        .room = scratch,
    };
    if (mark) {
        int code = uri_split_query(&uri, mark + 1, target_bytes - uri.path_bytes - 1, error);
        if (code)
            return code;
    }
    *ret_uri = uri;
    return 0;
}
