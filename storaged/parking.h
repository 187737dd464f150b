/* Requests that wait until an index is applied, or their time is over. Owner: storaged. */
#pragma once

#include "bus.h"
#include "loop.h"
#include "store.h"

#define PARKING_PLACES_MAX (4 * LIMIT_BUS_CALLS_MAX) /* more are answered as too late */
#define PARKING_MS_MAX 600000u                       /* the largest barrier_timeout */

struct parking;

/* Answers the request whose body this is; false: its index was not reached in its time. */
typedef void parking_fn(void *context, const struct bus_route *route, struct wire_reader *body,
                        bool in_time);

struct parking_ticket {
    uint64_t index_min;
    uint32_t wait_ms;
    parking_fn *fn;
    void *context;
};

struct parking *parking_new(struct loop *loop, struct store *store);
void parking_free(struct parking *parking);
/* Has the request answered: at once, if the index is applied, or there is no place. `body` is
 * copied if it waits. */
void parking_take(struct parking *parking, const struct bus_route *route, struct wire_reader body,
                  const struct parking_ticket *ticket);
/* Entries were applied, or the state was replaced: has answered what waited for them. Where the
 * applied index went back, it is another cluster's: nobody waits on, all are answered as too late.
 */
void parking_on_applied(struct parking *parking);
