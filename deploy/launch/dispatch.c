/* start, stop and restart are answered when the daemon has come to rest: the goal is reached, or it
 * cannot be. A daemon that ended while starting is tried again later, but not for this caller. */
#include "dispatch.h"

#include "logger.h"
#include "node.h"
#include "report.h"
#include "request.h"

#include <stdio.h>
#include <stdlib.h>

enum goal { GOAL_READY, GOAL_STOPPED, GOALS };
enum judgement { JUDGE_WAIT, JUDGE_REACHED, JUDGE_MISSED };

static const enum judgement judgements[GOALS][STATE_COUNT] = {
    [GOAL_READY] =
        {
            [STATE_STOPPED] = JUDGE_MISSED,
            [STATE_STARTING] = JUDGE_WAIT,
            [STATE_READY] = JUDGE_REACHED,
            [STATE_STOPPING] = JUDGE_WAIT,
            [STATE_RESTARTING] = JUDGE_WAIT,
            [STATE_BACKOFF] = JUDGE_MISSED,
            [STATE_FAILED] = JUDGE_MISSED,
        },
    [GOAL_STOPPED] =
        {
            [STATE_STOPPED] = JUDGE_REACHED,
            [STATE_STARTING] = JUDGE_MISSED,
            [STATE_READY] = JUDGE_MISSED,
            [STATE_STOPPING] = JUDGE_WAIT,
            [STATE_RESTARTING] = JUDGE_MISSED,
            [STATE_BACKOFF] = JUDGE_MISSED,
            [STATE_FAILED] = JUDGE_MISSED,
        },
};

/* Says how the daemon stands, and for a miss, why. */
static void answer_about(struct control_call *call, const struct service *service, bool ok)
{
    char text[512], why[128] = "";
    if (!ok && service->last_exit[0])
        snprintf(why, sizeof(why), ": %s%s", service->last_exit,
                 service->state == STATE_BACKOFF ? ", and is tried again" : "");
    snprintf(text, sizeof(text), "{\"ok\":%s,\"message\":\"%s is %s%s\"}", ok ? "true" : "false",
             service->kind->name, state_name(service->state), why);
    control_answer(call, text);
}

static void call_judge(void *context, struct control_call *call)
{
    const struct service *service = call->awaited;
    (void)context;
    if (!service)
        return;
    enum judgement judgement = judgements[call->goal][service->state];
    if (judgement != JUDGE_WAIT)
        answer_about(call, service, judgement == JUDGE_REACHED);
}

void dispatch_on_change(struct node *node)
{
    control_each(&node->control, call_judge, NULL);
}

void dispatch_on_late(void *context, struct control_call *call)
{
    (void)context;
    answer_about(call, call->awaited, false);
}

/* ---- the commands ---- */

static void on_status(struct node *node, struct control_call *call, const struct request *request)
{
    (void)request;
    char *text = report_of(node);
    control_answer(call, text);
    free(text);
}

/* `awaited` is set behind the event: what was true before it is no answer. */
static void on_change(struct node *node, struct control_call *call, const struct request *request)
{
    static const struct {
        enum event event;
        enum goal goal;
        const char *log;
    } changes[REQUEST_VERBS] = {
        [REQUEST_START] = {EVENT_START, GOAL_READY, "start"},
        [REQUEST_STOP] = {EVENT_STOP, GOAL_STOPPED, "stop"},
        [REQUEST_RESTART] = {EVENT_RESTART, GOAL_READY, "restart"},
    };
    struct service *service = &node->services[request->daemon];
    if (node->phase == NODE_STOPPING) {
        control_answer(call, "{\"ok\":false,\"message\":\"the node is stopping\"}");
        return;
    }
    logger_info("command", "command=%s child=%s", changes[request->verb].log, service->kind->name);
    service_event(service, changes[request->verb].event);
    call->goal = changes[request->verb].goal;
    call->awaited = service;
    call_judge(NULL, call);
}

void dispatch_on_request(void *context, struct control_call *call, const char *line)
{
    static void (*const handlers[REQUEST_VERBS])(struct node *, struct control_call *,
                                                 const struct request *) = {
        [REQUEST_STATUS] = on_status,
        [REQUEST_START] = on_change,
        [REQUEST_STOP] = on_change,
        [REQUEST_RESTART] = on_change,
    };
    struct request request;
    if (request_parse(line, &request, NULL))
        control_answer(call, "{\"ok\":false,\"message\":\"unknown command\"}");
    else
        handlers[request.verb](context, call, &request);
}
