/* GET /openapi.json: the API in OpenAPI 3.1, from openapi.json, which a test compares with the
 * routes (tests/unit/httpd/test_openapi.c). */
#pragma once

#include "request.h"

extern const char openapi_text[];
void openapi_serve(struct request *request);
