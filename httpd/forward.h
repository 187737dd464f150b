/* A request on its way to the leader, and the answer on its way back.
 *
 *   waiting --connected, sent--> sent --answer, whole--> answered as the leader did
 *      |                          |  \--answer, long--> passed on while it comes --> its end
 *      +--> 503, nothing was done |                                             \--> cut
 *                                 +--> broken, or too late: 504 outcome unknown (reads: 503)
 *
 * A request's body is whole before, or it is passed on while it comes: then the client is read from
 * as fast as the leader takes it. An answer that comes before the body's end waits for that; if
 * there is none, nothing was done.
 *
 * While more are on their way than there are connections to the leader, the one whose client is
 * slowest is cut (503, or the end of an answer that has begun).
 *
 * An answer of up to HTTPD_FORWARD_HELD_BYTES waits until it is whole. Of a longer one no more than
 * that is ever held: the leader is read from as fast as the client takes it. If it breaks then, the
 * client's connection ends before the body does. */
#pragma once

#include "loop.h"
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
    unsigned open_count; /* of those that have, or wait for, a connection to the leader */
    struct loop_timer room_timer;
};

void forwards_init(struct forwards *forwards, struct httpd *httpd);
/* The request's body must be whole. */
void forward_request(struct forwards *forwards, struct request *request, const char *leader_url,
                     uint64_t wait_ms);
/* The same before its body, whose length is known, has come; HTTPD_UPLOAD_HELD_BYTES are
 * reserved for the request. It is request->forward's until it is answered. NULL: there are too
 * many. */
struct forward *forward_begin_upload(struct forwards *forwards, struct request *request,
                                     const char *leader_url);
/* The body's next bytes, all of them. False: there are enough for now; the request is to be
 * suspended, and will be resumed. (So libmicrohttpd keeps none of it meanwhile: those of a client
 * that has shut its side would be lost.) */
bool forward_take_body(struct forward *forward, const char *bytes, size_t length);
/* The body is whole. */
void forward_end_body(struct forward *forward);
/* Its client is gone before it was answered. */
void forward_abandon(struct forward *forward);
/* libcurl is done with one. Not to be called from libcurl's callbacks. */
void forward_on_done(CURL *curl, CURLcode code);
/* Answers all that wait, and cuts the answers that are under way. */
void forwards_finish(struct forwards *forwards);
