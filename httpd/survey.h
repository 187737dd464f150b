/* What raftd and storaged say of themselves, asked for pages that show it. One survey is under way
 * at a time; requests that come meanwhile share the next. */
#pragma once

#include "dispatch.h"
#include "request.h"
#include "status.h"

struct survey_findings {
    bool raftd_up, storaged_up; /* answered in time */
    struct raft_status raft;    /* valid if raftd_up */
    struct store_status store;  /* valid if storaged_up */
};

/* Answers the request with its page. */
typedef void survey_page_fn(struct request *request, const struct survey_findings *findings);

struct survey;

struct survey *survey_new(struct httpd *httpd);
void survey_free(struct survey *survey);
/* The route's serve: its page is made once both have answered, or cannot. */
void survey_serve(struct request *request);
void survey_at_turn_end(struct survey *survey);
/* Answers all that wait, from what is known now. */
void survey_finish(struct survey *survey);

void survey_on_raft_status(struct edge_call *call, enum edge_end end, struct wire_reader *body);
void survey_on_store_status(struct edge_call *call, enum edge_end end, struct wire_reader *body);
