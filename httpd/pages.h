/* What httpd shows of the node: status, raft's configuration and figures, and the probes. */
#pragma once

#include "request.h"
#include "survey.h"

void pages_status(struct request *request, const struct survey_findings *findings);
void pages_raft_config(struct request *request, const struct survey_findings *findings);
void pages_raft_stats(struct request *request, const struct survey_findings *findings);

/* Alive: this process answers. */
void pages_serve_live(struct request *request);
/* Ready: both edges answer, a leader is known, the store is healthy. */
int pages_prepare_ready(struct request *request, struct problem *problem);
void pages_ready(struct request *request, const struct survey_findings *findings);

/* The same as text, owned by the caller; for tests. `config` gives the node's name. */
char *pages_render_status(const struct survey_findings *findings, const struct config *config);
char *pages_render_raft_config(const struct raft_status *raft);
char *pages_render_raft_stats(const struct raft_status *raft);
