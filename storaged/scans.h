/* Scans: a view of the keys, read part by part as its reader has room. Owner: storaged.
 *
 * A part is bounded in bytes and in pages, so the loop is never long in one. A scan that fits one
 * part keeps nothing; a longer one keeps its view until its last part, until it is closed, or until
 * LIMIT_SCAN_MS_MAX are over: then its reader hears TIMEOUT. */
#pragma once

#include "bus.h"
#include "loop.h"
#include "parking.h"
#include "store.h"

struct scans;

struct scans *scans_new(struct loop *loop, struct parking *parking, struct store *store,
                        struct bus_server **server);
void scans_free(struct scans *scans);
/* Each answers its message. 0, or -EPROTO for a body that cannot be decoded. */
int scans_on_open(struct scans *scans, struct bus_request *request);
int scans_on_next(struct scans *scans, struct bus_request *request);
int scans_on_close(struct scans *scans, struct bus_request *request);
