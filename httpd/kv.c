/* /kv: one key's value. What a request asks for is read when its headers are complete (kv_check),
 * so that what is too large or makes no sense is refused before the body comes. */
#include "httpd.h"
#include "reads.h"
#include "routes.h"
#include "writes.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* The key stands in the path or in the query, not in both. */
static bool take_key(struct request *request)
{
    struct uri_bytes query_key = uri_parameter(&request->uri, "key");
    uint64_t bytes_max = request->httpd->config->key_bytes_max;
    request->key = request->uri.key.bytes ? request->uri.key : query_key;
    if (request->uri.key.bytes && query_key.bytes)
        reply_problem(request, 400, NULL, "the key is given twice: in the path and as ?key=");
    else if (!request->key.bytes || request->key.length == 0)
        reply_problem(request, 400, NULL, "want a key: /kv?key=K or /kv/K, not empty");
    else if (request->key.length > bytes_max)
        reply_problem(request, 413, NULL,
                      "the key has %zu bytes, at most %llu are allowed; nothing was stored",
                      request->key.length, (unsigned long long)bytes_max);
    else
        return true;
    return false;
}

/* "123" with its quotes; the number in *ret_revision. RFC 9110, section 8.8.3. */
static bool parse_etag(const char *text, uint64_t *ret_revision)
{
    char *end;
    if (text[0] != '"' || !isdigit((unsigned char)text[1]) || strlen(text) > 22)
        return false;
    *ret_revision = strtoull(text + 1, &end, 10);
    return !strcmp(end, "\"") && *ret_revision > 0;
}

static bool take_condition(struct request *request)
{
    const char *match =
        MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, "If-Match");
    const char *none =
        MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, "If-None-Match");
    if (!match && !none)
        return true;
    if (match && none)
        reply_problem(request, 400, NULL, "If-Match and If-None-Match exclude each other");
    else if (match && !strcmp(match, "*"))
        request->condition = COMMAND_IF_PRESENT;
    else if (match && parse_etag(match, &request->condition_revision))
        request->condition = COMMAND_IF_REVISION;
    else if (match)
        reply_problem(request, 400, NULL, "If-Match: want \"REVISION\" in quotes, or *");
    else if (!strcmp(none, "*"))
        request->condition = COMMAND_IF_ABSENT;
    else
        reply_problem(request, 400, NULL, "If-None-Match: want *");
    return request->state != REQUEST_ANSWERED;
}

static bool take_stale(struct request *request)
{
    struct uri_bytes stale = uri_parameter(&request->uri, "stale");
    const char *text = (const char *)stale.bytes;
    request->stale = text && (!strcmp(text, "true") || !strcmp(text, "1"));
    if (request->stale || !text || !strcmp(text, "false") || !strcmp(text, "0"))
        return true;
    reply_problem(request, 400, NULL, "stale: want true, 1, false or 0");
    return false;
}

void kv_check(struct request *request)
{
    bool reads = request->method & (METHOD_GET | METHOD_HEAD);
    struct uri_bytes value = uri_parameter(&request->uri, "value");
    if (!take_key(request))
        return;
    if (reads) {
        (void)take_stale(request);
        return;
    }
    if (value.bytes && request->method != METHOD_PUT)
        reply_problem(request, 400, NULL, "only a PUT has a value");
    else if (uri_parameter(&request->uri, "stale").bytes)
        reply_problem(request, 400, NULL, "only reads can be stale");
    else if (value.length > request->httpd->config->value_bytes_max)
        reply_problem(request, 413, NULL,
                      "the value has %zu bytes, at most %llu are allowed; nothing was stored",
                      value.length, (unsigned long long)request->httpd->config->value_bytes_max);
    else
        (void)take_condition(request);
}

static void take_value(struct request *request)
{
    struct uri_bytes value = uri_parameter(&request->uri, "value");
    request->value = (struct uri_bytes){request->body.bytes, request->body.length};
    if (value.bytes && request->body.length)
        reply_problem(request, 400, NULL, "the value is given twice: as the body and as &value=");
    else if (value.bytes)
        request->value = value;
}

void kv_handle(struct request *request)
{
    if (request->method & (METHOD_GET | METHOD_HEAD)) {
        reads_take(request->httpd->reads, request);
        return;
    }
    if (request->method == METHOD_PUT)
        take_value(request);
    if (request->state != REQUEST_ANSWERED)
        writes_take(request->httpd->writes, request);
}
