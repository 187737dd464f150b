/* Answers WATCH (proto/watch.h) from the history. Owner: storaged. */
#pragma once

#include "bus.h"
#include "parking.h"
#include "store.h"

struct watches;

struct watches *watches_new(struct parking *parking, struct store *store,
                            struct bus_server **server);
void watches_free(struct watches *watches);
/* 0, or -EPROTO if the body is no WATCH. */
int watches_on_request(struct watches *watches, struct bus_request *request);
