#include "kv.h"

#include "dispatch.h"
#include "range.h"
#include "reads.h"
#include "routes.h"
#include "scans.h"
#include "writes.h"

#include <string.h>

static int kv_find_key(struct request *request, struct problem *problem)
{
    if (request->route->kind == ROUTE_BELOW) {
        size_t prefix = strlen(request->route->path);
        if (uri_find(&request->uri, "key"))
            return problem_set(problem, MHD_HTTP_BAD_REQUEST,
                               "the key is given twice: in the path and in the query");
        if (uri_decode(request->uri.path + prefix, request->uri.path_bytes - prefix, false,
                       request->uri.room, &request->key_bytes))
            return problem_set(problem, MHD_HTTP_BAD_REQUEST,
                               "the key in the path is not well percent-encoded");
        request->key = request->uri.room;
    } else {
        const struct uri_parameter *key = uri_find(&request->uri, "key");
        if (!key)
            return problem_set(problem, MHD_HTTP_BAD_REQUEST,
                               "want a key, key=K or /kv/K, or a range, prefix=P or start=A&end=B");
        request->key = key->value;
        request->key_bytes = key->value_bytes;
    }
    if (request->key_bytes == 0)
        return problem_set(problem, MHD_HTTP_BAD_REQUEST, "want a key of one byte or more");
    size_t key_bytes_max = request->httpd->config->key_bytes_max;
    if (request->key_bytes > key_bytes_max)
        return problem_set(problem, MHD_HTTP_CONTENT_TOO_LARGE,
                           "the key has %zu bytes, the limit is %zu", request->key_bytes,
                           key_bytes_max);
    return 0;
}

static int kv_find_range(struct request *request, struct problem *problem)
{
    request->range = memory_new(sizeof(*request->range));
    return range_read(&request->uri, request->range, problem);
}

int kv_prepare_read(struct request *request, struct problem *problem)
{
    if (range_is_asked(&request->uri))
        return kv_find_range(request, problem);
    int status = range_read_flag(&request->uri, "stale", &request->stale, problem);
    return status ? status : kv_find_key(request, problem);
}

int kv_prepare_write(struct request *request, struct problem *problem)
{
    const struct guard_findings *findings = &request->findings;
    const struct uri_parameter *value = uri_find(&request->uri, "value");
    int status = kv_find_key(request, problem);
    if (!status)
        status = condition_parse(findings->if_match, findings->if_none_match, &request->condition,
                                 problem);
    if (status || !value)
        return status;
    if (findings->chunked || findings->content_length > 0)
        return problem_set(problem, MHD_HTTP_BAD_REQUEST,
                           "the value is given twice: in the query and in the body");
    request->value = value->value;
    request->value_bytes = value->value_bytes;
    return 0;
}

void kv_serve_read(struct request *request)
{
    if (request->range && request->range->stale)
        scans_add_stale(request->httpd->scans, request);
    else
        reads_add(request->httpd->reads, request);
}

void kv_serve_write(struct request *request)
{
    writes_add(request->httpd->writes, request);
}

void kv_encode_command(const struct request *request, struct buffer *into)
{
    struct command command = {
        .operation = request->route->methods & METHOD_PUT ? COMMAND_PUT : COMMAND_DELETE,
        .condition = request->condition.kind,
        .revision = request->condition.revision,
        .key = request->key,
        .key_bytes = request->key_bytes,
        .value = request->value,
        .value_bytes = request->value_bytes,
    };
    command_encode(into, &command);
}
