#include "dialect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- requests ---- */

static size_t http_request(char *into, const char *method, const char *target, const char *type,
                           const char *body, size_t body_bytes)
{
    int length = snprintf(into, 512, "%s %s HTTP/1.1\r\nHost: localhost\r\n", method, target);
    if (body)
        length += snprintf(into + length, 512, "Content-Type: %s\r\nContent-Length: %zu\r\n", type,
                           body_bytes);
    length += snprintf(into + length, 8, "\r\n");
    if (body)
        memcpy(into + length, body, body_bytes);
    return (size_t)length + body_bytes;
}

static size_t conure_request(char *into, enum operation operation, const char *key,
                             const char *value, size_t value_bytes)
{
    char target[128];
    snprintf(target, sizeof(target), "/kv?key=%.16s%s", key,
             operation == OPERATION_STALE ? "&stale=true" : "");
    if (operation == OPERATION_PUT)
        return http_request(into, "PUT", target, "application/octet-stream", value, value_bytes);
    return http_request(into, "GET", target, NULL, NULL, 0);
}

static size_t etcd2_request(char *into, enum operation operation, const char *key,
                            const char *value, size_t value_bytes)
{
    static char body[DIALECT_VALUE_BYTES_MAX + 8];
    char target[128];
    snprintf(target, sizeof(target), "/v2/keys/%.16s%s", key,
             operation == OPERATION_GET ? "?quorum=true" : "");
    if (operation != OPERATION_PUT)
        return http_request(into, "GET", target, NULL, NULL, 0);
    memcpy(body, "value=", 6);
    memcpy(body + 6, value, value_bytes);
    return http_request(into, "PUT", target, "application/x-www-form-urlencoded", body,
                        value_bytes + 6);
}

static size_t base64(char *into, const char *bytes, size_t length)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t at = 0;
    for (size_t i = 0; i < length; i += 3) {
        uint32_t left = (uint32_t)(length - i), three = (uint32_t)(uint8_t)bytes[i] << 16;
        three |= left > 1 ? (uint32_t)(uint8_t)bytes[i + 1] << 8 : 0;
        three |= left > 2 ? (uint32_t)(uint8_t)bytes[i + 2] : 0;
        into[at++] = digits[three >> 18];
        into[at++] = digits[three >> 12 & 63];
        into[at++] = left > 1 ? digits[three >> 6 & 63] : '=';
        into[at++] = left > 2 ? digits[three & 63] : '=';
    }
    return at;
}

static size_t etcd3_request(char *into, enum operation operation, const char *key,
                            const char *value, size_t value_bytes)
{
    static char body[2 * DIALECT_VALUE_BYTES_MAX];
    size_t length = (size_t)sprintf(body, "{\"key\":\"");
    length += base64(body + length, key, DIALECT_KEY_BYTES);
    if (operation == OPERATION_PUT) {
        length += (size_t)sprintf(body + length, "\",\"value\":\"");
        length += base64(body + length, value, value_bytes);
    }
    length += (size_t)sprintf(body + length,
                              operation == OPERATION_STALE ? "\",\"serializable\":true}" : "\"}");
    return http_request(into, "POST", operation == OPERATION_PUT ? "/v3/kv/put" : "/v3/kv/range",
                        "application/json", body, length);
}

static size_t redis_request(char *into, enum operation operation, const char *key,
                            const char *value, size_t value_bytes)
{
    if (operation != OPERATION_PUT)
        return (size_t)sprintf(into, "*2\r\n$3\r\nGET\r\n$16\r\n%.16s\r\n", key);
    size_t length =
        (size_t)sprintf(into, "*3\r\n$3\r\nSET\r\n$16\r\n%.16s\r\n$%zu\r\n", key, value_bytes);
    memcpy(into + length, value, value_bytes);
    memcpy(into + length + value_bytes, "\r\n", 2);
    return length + value_bytes + 2;
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
