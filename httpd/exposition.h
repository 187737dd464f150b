/* GET /metrics: Prometheus' text format, version 0.0.4, made of what the daemons say of themselves
 * and of httpd's own counters. */
#pragma once

#include "request.h"
#include "survey.h"

/* The route's page. */
void exposition_page(struct request *request, const struct survey_findings *findings);

/* The text, owned by the caller. */
char *exposition_render(const struct httpd *httpd, const struct survey_findings *findings);
