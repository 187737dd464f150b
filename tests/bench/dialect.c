/* Answers are parsed here, and only as far as their end: an HTTP library would take as much of the
 * processors as some of the servers do. */
#include "dialect.h"

#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- requests ---- */

__attribute__((format(printf, 2, 3))) static void add(struct buffer *into, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    buffer_append(into, text, (size_t)length);
}

static void add_get(struct buffer *into, const char *path, const char *key, const char *query)
{
    add(into, "GET %s%.16s%s HTTP/1.1\r\nHost: localhost\r\n\r\n", path, key, query);
}

/* The body is the caller's to append. */
static void add_head(struct buffer *into, const char *method, const char *path, const char *key,
                     const char *type, size_t body_bytes)
{
    add(into,
        "%s %s%.16s HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\n"
        "Content-Length: %zu\r\n\r\n",
        method, path, key, type, body_bytes);
}

static void conure_request(struct buffer *into, enum operation operation, const char *key,
                           const char *value, size_t value_bytes)
{
    if (operation != OPERATION_PUT) {
        add_get(into, "/kv?key=", key, operation == OPERATION_STALE ? "&stale=true" : "");
        return;
    }
    add_head(into, "PUT", "/kv?key=", key, "application/octet-stream", value_bytes);
    buffer_append(into, value, value_bytes);
}

static void etcd2_request(struct buffer *into, enum operation operation, const char *key,
                          const char *value, size_t value_bytes)
{
    if (operation != OPERATION_PUT) {
        add_get(into, "/v2/keys/", key, operation == OPERATION_GET ? "?quorum=true" : "");
        return;
    }
    add_head(into, "PUT", "/v2/keys/", key, "application/x-www-form-urlencoded", value_bytes + 6);
    add(into, "value=");
    buffer_append(into, value, value_bytes);
}

static void etcd3_request(struct buffer *into, enum operation operation, const char *key,
                          const char *value, size_t value_bytes)
{
    static struct buffer body;
    body.length = 0;
    add(&body, "{\"key\":\"");
    base64_append(&body, (const uint8_t *)key, DIALECT_KEY_BYTES);
    if (operation == OPERATION_PUT) {
        add(&body, "\",\"value\":\"");
        base64_append(&body, (const uint8_t *)value, value_bytes);
    }
    add(&body, operation == OPERATION_STALE ? "\",\"serializable\":true}" : "\"}");
    add_head(into, "POST", operation == OPERATION_PUT ? "/v3/kv/put" : "/v3/kv/range", "",
             "application/json", body.length);
    buffer_append(into, body.bytes, body.length);
}

static void redis_request(struct buffer *into, enum operation operation, const char *key,
                          const char *value, size_t value_bytes)
{
    if (operation != OPERATION_PUT) {
        add(into, "*2\r\n$3\r\nGET\r\n$16\r\n%.16s\r\n", key);
        return;
    }
    add(into, "*3\r\n$3\r\nSET\r\n$16\r\n%.16s\r\n$%zu\r\n", key, value_bytes);
    buffer_append(into, value, value_bytes);
    add(into, "\r\n");
}

/* ---- answers ---- */

/* The value of a header line of this name; NULL if there is none. */
static const char *header(const char *head, const char *end, const char *name)
{
    size_t length = strlen(name);
    for (const char *line = memmem(head, (size_t)(end - head), "\r\n", 2); line && line < end;
         line = memmem(line + 2, (size_t)(end - line) - 2, "\r\n", 2))
        if ((size_t)(end - line) > length + 2 && !strncasecmp(line + 2, name, length))
            return line + 2 + length;
    return NULL;
}

/* A chunked body's length; 0 while it is not whole. The servers send no trailers. */
static size_t chunked(const char *bytes, size_t length)
{
    size_t at = 0;
    for (;;) {
        const char *line_end = memmem(bytes + at, length - at, "\r\n", 2);
        if (!line_end)
            return 0;
        size_t chunk = strtoul(bytes + at, NULL, 16);
        at = (size_t)(line_end - bytes) + 2 + chunk + 2;
        if (at > length)
            return 0;
        if (!chunk)
            return at;
    }
}

static size_t http_answer(const char *bytes, size_t length, bool *ret_good)
{
    const char *head_end = memmem(bytes, length, "\r\n\r\n", 4);
    if (!head_end)
        return 0;
    size_t head = (size_t)(head_end - bytes) + 4;
    const char *content_length = header(bytes, head_end, "Content-Length:");
    *ret_good = length > 9 && bytes[9] == '2';
    if (content_length) {
        size_t whole = head + strtoul(content_length, NULL, 10);
        return whole <= length ? whole : 0;
    }
    if (!header(bytes, head_end, "Transfer-Encoding:"))
        return head;
    size_t body = chunked(bytes + head, length - head);
    return body ? head + body : 0;
}

static size_t redis_answer(const char *bytes, size_t length, bool *ret_good)
{
    const char *line_end = memmem(bytes, length, "\r\n", 2);
    if (!line_end)
        return 0;
    size_t line = (size_t)(line_end - bytes) + 2;
    *ret_good = bytes[0] == '+' || (bytes[0] == '$' && bytes[1] != '-');
    if (bytes[0] != '$' || bytes[1] == '-')
        return line;
    size_t whole = line + strtoul(bytes + 1, NULL, 10) + 2;
    return whole <= length ? whole : 0;
}

static const struct dialect dialects[] = {
    {"conure", conure_request, http_answer},
    {"etcd2", etcd2_request, http_answer},
    {"etcd3", etcd3_request, http_answer},
    {"redis", redis_request, redis_answer},
};

const struct dialect *dialect_of(const char *name)
{
    for (size_t i = 0; i < sizeof(dialects) / sizeof(*dialects); i++)
        if (!strcmp(dialects[i].name, name))
            return &dialects[i];
    return NULL;
}
