/* A request on its way to the leader, and the answer on its way back.
 *
 *   waiting --connected, sent--> sent --answer, whole--> answered as the leader did
 *      |                          |  \--answer, long--> passed on while it comes --> its end
 *      +--> 503, nothing was done |                                             \--> cut
 *                                 +--> broken, or too late: 504 outcome unknown (reads: 503)
 *
 * An answer of up to HTTPD_FORWARD_HELD_BYTES waits until it is whole. Of a longer one no more than
 * that is ever held: the leader is read from as fast as the client takes it. If it breaks then, the
 * client's connection ends before the body does. */
#pragma once

#include "request.h"

#include <curl/curl.h>

struct forward;
TAILQ_HEAD(forward_list, forward);

/* All of them. */
struct forwards {
    struct httpd *httpd;
    CURLM *multi; /* the owner's */
    struct forward_list all;
    unsigned count;
};

void forwards_init(struct forwards *forwards, struct httpd *httpd);
/* The request's body must be whole. */
void forward_request(struct forwards *forwards, struct request *request, const char *leader_url,
                     uint64_t wait_ms);
/* libcurl is done with one. Not to be called from libcurl's callbacks. */
void forward_on_done(CURL *curl, CURLcode code);
/* Answers all that wait, and cuts the answers that are under way. */
void forwards_finish(struct forwards *forwards);
