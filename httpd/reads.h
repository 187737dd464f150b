/* Reads on their way. Owner: httpd.
 *
 *   linearizable:  waiting -> round (one READ_INDEX for all) -> ready -> READ at that index ->
 * answer stale=true:                                               fresh enough -> READ as it is ->
 * answer
 *
 * Thesis 6.4: the index is asked for after the request came, so the value is at least as new as any
 * write that was answered before. A read changes nothing: whatever goes wrong is 503. */
#pragma once

#include "request.h"

struct reads;

struct reads *reads_new(struct httpd *httpd);
void reads_free(struct reads *reads);
void reads_take(struct reads *reads, struct request *request);
void reads_flush(struct reads *reads);
