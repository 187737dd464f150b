/* Reads that wait: a READ that asks for an index not applied yet is parked until it is, or its time
 * is over. Owner: storaged. */
#pragma once

#include "bus.h"
#include "loop.h"
#include "store.h"

#define READS_PARKED_MAX (4 * LIMIT_BUS_CALLS_MAX) /* more are answered as too late */
#define READS_WAIT_MS_MAX 600000u                  /* the largest barrier_timeout */

struct reads;

struct reads *reads_new(struct loop *loop, struct store *store, struct bus_server **server);
void reads_free(struct reads *reads);
/* Answers a READ at once or parks it. 0, or -EPROTO if the body is no READ. */
int reads_on_request(struct reads *reads, struct bus_request *request);
/* Entries were applied: answers what waited for them. */
void reads_on_applied(struct reads *reads);
