/* Reads of single keys; and the READ_INDEX of scans, which go on from there (scans.h).
 *
 *   linearizable: unasked --READ_INDEX--> asked --> confirmed --READ at that index--> answered
 *                 unasked --READ_INDEX and READ--> asked --> confirmed --> answered
 *   stale:        stale --READ as it is--> answered
 *
 * A READ_INDEX speaks for all reads that came before it was sent. Nothing is at risk when one
 * fails: 503, come again. */
#pragma once

#include "dispatch.h"
#include "request.h"

struct reads;

struct reads *reads_new(struct httpd *httpd);
void reads_free(struct reads *reads);
void reads_add(struct reads *reads, struct request *request);
/* Sends what came in, as far as the edges have room. */
void reads_at_turn_end(struct reads *reads);
void reads_on_edge_down(struct reads *reads, enum edge_peer peer);
/* Answers all that wait: 503. */
void reads_finish(struct reads *reads);

void reads_on_read_index(struct edge_call *call, enum edge_end end, struct wire_reader *body);
void reads_on_read(struct edge_call *call, enum edge_end end, struct wire_reader *body);
