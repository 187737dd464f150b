#include "survey.h"

#include "logger.h"
#include "message.h"
#include "routes.h"

#include <stdlib.h>

struct survey {
    struct httpd *httpd;
    struct request_list waiting; /* for the next survey */
    struct request_list asked;   /* for the one under way */
    struct edge_call raft_call, store_call;
    unsigned calls_in_flight;
    struct survey_findings findings;
};

static void survey_answer(struct survey *survey)
{
    struct request *request;
    while ((request = TAILQ_FIRST(&survey->asked)))
        request->route->page(request, &survey->findings);
}

static void survey_on_end(struct survey *survey)
{
    if (--survey->calls_in_flight == 0)
        survey_answer(survey);
}

void survey_on_raft_status(struct edge_call *call, enum edge_end end, struct wire_reader *body)
{
    struct survey *survey = call->httpd->survey;
    if (end == EDGE_REPLIED && raft_status_decode(body, &survey->findings.raft))
        logger_error("message_damaged", "type=RAFT_STATUS_OK");
    else
        survey->findings.raftd_up = end == EDGE_REPLIED;
    survey_on_end(survey);
}

void survey_on_store_status(struct edge_call *call, enum edge_end end, struct wire_reader *body)
{
    struct survey *survey = call->httpd->survey;
    if (end == EDGE_REPLIED && store_status_decode(body, &survey->findings.store))
        logger_error("message_damaged", "type=STORE_STATUS_OK");
    else
        survey->findings.storaged_up = end == EDGE_REPLIED;
    survey_on_end(survey);
}

void survey_serve(struct request *request)
{
    request_stage(request, &request->httpd->survey->waiting);
}

static void survey_ask(struct survey *survey, uint16_t type, struct edge_call *call)
{
    uint64_t deadline_ms = loop_now_ms(survey->httpd->loop) + HTTPD_SURVEY_MS_MAX;
    if (!edge_call(survey->httpd, type, NULL, deadline_ms, call))
        survey->calls_in_flight++;
}

void survey_at_turn_end(struct survey *survey)
{
    struct request *request;
    if (survey->calls_in_flight || TAILQ_EMPTY(&survey->waiting))
        return;
    while ((request = TAILQ_FIRST(&survey->waiting)))
        request_stage(request, &survey->asked);
    survey->findings.raftd_up = survey->findings.storaged_up = false;
    survey_ask(survey, PROTO_RAFT_STATUS, &survey->raft_call);
    survey_ask(survey, PROTO_STORE_STATUS, &survey->store_call);
    if (!survey->calls_in_flight)
        survey_answer(survey); /* no one to ask */
}

void survey_finish(struct survey *survey)
{
    struct request *request;
    while ((request = TAILQ_FIRST(&survey->waiting)))
        request_stage(request, &survey->asked);
    survey_answer(survey);
}

struct survey *survey_new(struct httpd *httpd)
{
    struct survey *survey = memory_new_zeroed(1, sizeof(*survey));
    survey->httpd = httpd;
    TAILQ_INIT(&survey->waiting);
    TAILQ_INIT(&survey->asked);
    return survey;
}

void survey_free(struct survey *survey)
{
    free(survey);
}
