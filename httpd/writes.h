/* Writes: whole PUTs and DELETEs on their way to raftd, in batches.
 *
 *   unsent --PROPOSE--> in flight --RESULT--> answered
 *
 * Invariant 8: a write that was sent and whose result is not known is answered 504, outcome
 * unknown; one that was never sent, 503. Nothing is ever sent twice. */
#pragma once

#include "dispatch.h"
#include "request.h"

struct writes;

struct writes *writes_new(struct httpd *httpd);
void writes_free(struct writes *writes);
void writes_add(struct writes *writes, struct request *request);
/* Whether some wait for their results. */
bool writes_wait(const struct writes *writes);
/* Sends what came in, as far as raftd has room. */
void writes_at_turn_end(struct writes *writes);
void writes_on_raftd_down(struct writes *writes);
/* Answers all that wait: unsent 503, sent 504. */
void writes_finish(struct writes *writes);

void writes_on_result(struct edge_call *call, enum edge_end end, struct wire_reader *body);
