/* The routes that change who belongs to the cluster and who leads it: each request is one call of
 * raftd, which makes one change at a time.
 *
 * Invariant 8: what was asked for and not answered is 504, outcome unknown. */
#pragma once

#include "dispatch.h"
#include "request.h"

struct changes;

struct changes *changes_new(struct httpd *httpd);
void changes_free(struct changes *changes);
/* The routes' serves. */
void changes_serve_join(struct request *request);
void changes_serve_remove(struct request *request);
void changes_serve_transfer(struct request *request);
/* Answers all that wait: 504. */
void changes_finish(struct changes *changes);

void changes_on_reply(struct edge_call *call, enum edge_end end, struct wire_reader *body);
