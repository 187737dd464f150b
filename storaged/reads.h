/* Reads of single keys. Owner: storaged. */
#pragma once

#include "bus.h"
#include "parking.h"
#include "store.h"

struct reads;

struct reads *reads_new(struct parking *parking, struct store *store, struct bus_server **server);
void reads_free(struct reads *reads);
/* Answers a READ, if need be once its index is applied. 0, or -EPROTO if the body is no READ. */
int reads_on_request(struct reads *reads, struct bus_request *request);
