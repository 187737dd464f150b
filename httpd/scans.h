/* Scans: ranges of keys, streamed as lines of JSON (application/x-ndjson).
 *
 *   waiting --SCAN_OPEN--> answered 200, with the first part --SCAN_NEXT--> ... the last line
 *
 * The next part is asked for when the client has taken the one before: so memory is bounded, by a
 * part for each client, and a client that reads slowly holds up nobody but itself. One that takes
 * longer than the view lives, or is the slowest while others wait for its place, is told so in a
 * last line that is a problem (problem.h), and its connection ends without the end of the body.
 * What fits one part needs no place, so it never waits for those that do. Writes go first: while
 * some wait, all scans together get a part every HTTPD_SCAN_PACE_MS.
 *
 *   {"key":"...","value":"...","revision":R}             (no value with keys_only)
 *   {"count":N,"more":BOOL,"next":"...","revision":R}    the last one; next: null if not more
 *
 * Bytes that are no valid UTF-8 stand in key_base64, value_base64 and next_base64. */
#pragma once

#include "dispatch.h"
#include "request.h"

struct scans;

struct scans *scans_new(struct httpd *httpd);
/* No answer may be on its way any more. */
void scans_free(struct scans *scans);
/* The range's state at `index_min` or later (0: as it is). Whoever calls has begun its patience. */
void scans_add(struct scans *scans, struct request *request, uint64_t index_min);
/* The same for stale ones. */
void scans_add_stale(struct scans *scans, struct request *request);
/* Sends what came in, and asks for what clients have room for. */
void scans_at_turn_end(struct scans *scans);
void scans_on_storaged_down(struct scans *scans);
/* Answers all that wait, and ends what is being streamed. */
void scans_finish(struct scans *scans);

void scans_on_part(struct edge_call *call, enum edge_end end, struct wire_reader *body);
void scans_on_closed(struct edge_call *call, enum edge_end end, struct wire_reader *body);
