/* Writes on their way: the requests of a turn go to raftd in one PROPOSE, and each gets its answer
 * from the RESULT. Owner: httpd.
 *
 * What a client is told (invariant 8): before the PROPOSE is sent, 503: nothing was done. Once it
 * is sent and no RESULT comes, because raftd went away or LIMIT_WRITE_MS_MAX passed: 504, outcome
 * unknown. Nothing is ever proposed twice. */
#pragma once

#include "request.h"

struct writes;

struct writes *writes_new(struct httpd *httpd);
void writes_free(struct writes *writes);
/* Puts the request (REQUEST_WAITING from here on) into the next batch, or answers 503 if raftd is
 * away. */
void writes_take(struct writes *writes, struct request *request);
/* Sends what has come together, as far as the edge has room. Call at turn end. */
void writes_flush(struct writes *writes);
