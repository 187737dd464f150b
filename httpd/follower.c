#include "follower.h"

#include "config.h"
#include "dispatch.h"
#include "proxy.h"

#include <stdio.h>

typedef void follower_fn(struct request *request, const struct leader_hint *hint, uint64_t wait_ms);

static void answer_with_leader(struct request *request, const struct leader_hint *hint,
                               unsigned status, const char *location)
{
    struct problem problem;
    problem_set(&problem, status, "this node is not the leader, %s is", hint->id);
    problem.leader = hint;
    problem.location = location;
    request_answer_problem(request, &problem);
}

static void redirect(struct request *request, const struct leader_hint *hint, uint64_t wait_ms)
{
    char location[LIMIT_URL_BYTES_MAX + LIMIT_HTTP_URI_BYTES_MAX + 1];
    (void)wait_ms;
    snprintf(location, sizeof(location), "%s%s", hint->http_url,
             (const char *)request->target.bytes);
    answer_with_leader(request, hint, MHD_HTTP_TEMPORARY_REDIRECT, location);
}

static void conflict(struct request *request, const struct leader_hint *hint, uint64_t wait_ms)
{
    (void)wait_ms;
    answer_with_leader(request, hint, MHD_HTTP_CONFLICT, NULL);
}

static void forward(struct request *request, const struct leader_hint *hint, uint64_t wait_ms)
{
    struct httpd *httpd = request->httpd;
    httpd->leader = *hint;
    httpd->leader_known_until_ms = loop_now_ms(httpd->loop) + HTTPD_LEADER_KNOWN_MS;
    proxy_forward(httpd->proxy, request, hint->http_url, wait_ms);
}

static follower_fn *const modes[] = {
    [FOLLOWER_REDIRECT] = redirect,
    [FOLLOWER_PROXY] = forward,
    [FOLLOWER_CONFLICT] = conflict,
};

/* A request that was forwarded goes no further: two nodes that take each other for the leader must
 * not pass it to and fro, and its client is waiting for one leader, not for a chain of them. */
static void end_chain(struct request *request, const struct leader_hint *hint)
{
    struct problem problem;
    problem_set(&problem, MHD_HTTP_SERVICE_UNAVAILABLE,
                "forwarded to a node that is not the leader any more; nothing was done");
    problem.retry_after_s = 1;
    problem.leader = hint;
    request_answer_problem(request, &problem);
}

void follower_answer(struct request *request, const struct leader_hint *hint, uint64_t wait_ms)
{
    struct problem problem;
    if (!hint->raft_address[0] || !hint->http_url[0]) {
        problem_set_unavailable(&problem, "there is no leader now; nothing was done");
        request_answer_problem(request, &problem);
    } else if (request->findings.was_forwarded) {
        end_chain(request, hint);
    } else {
        modes[request->httpd->config->follower_mode](request, hint, wait_ms);
    }
}

const char *follower_find_leader(const struct request *request)
{
    const struct httpd *httpd = request->httpd;
    bool is_known = loop_now_ms(httpd->loop) < httpd->leader_known_until_ms;
    return httpd->proxy && !httpd->draining && is_known && !request->findings.was_forwarded
               ? httpd->leader.http_url
               : NULL;
}

void follower_forget_leader(struct httpd *httpd)
{
    httpd->leader_known_until_ms = 0;
}
