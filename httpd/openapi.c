#include "openapi.h"

#include "reply.h"

const char openapi_text[] =
#include "openapi.inc" /* openapi.json, a string literal each line */
    ;

void openapi_serve(struct request *request)
{
    request_answer(request, MHD_HTTP_OK, reply_static(openapi_text, "application/json"));
}
