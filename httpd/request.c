#include "request.h"

#include "httpd.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct request *request_new(struct httpd *httpd, const char *target)
{
    struct request *request = memory_new_zeroed(1, sizeof(*request));
    request->httpd = httpd;
    request->target = memory_copy_string(target);
    return request;
}

void request_free(struct request *request)
{
    assert(request->state != REQUEST_WAITING);
    request->httpd->bodies_bytes -= request->body_counted;
    if (request->response)
        MHD_destroy_response(request->response);
    uri_free(&request->uri);
    buffer_free(&request->body);
    free(request->target);
    free(request);
}

void request_answer(struct request *request, unsigned status, struct MHD_Response *response)
{
    assert(request->state != REQUEST_ANSWERED);
    bool waiting = request->state == REQUEST_WAITING;
    (void)MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (request->close || request->httpd->draining)
        (void)MHD_add_response_header(response, "Connection", "close");
    request->status = status;
    request->response = response;
    request->state = REQUEST_ANSWERED;
    if (waiting) {
        request->httpd->server_due = true;
        MHD_resume_connection(request->connection);
    }
}
