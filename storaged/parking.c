#include "parking.h"

#include "buffer.h"
#include "limits.h"

#include <stdlib.h>

struct parked {
    struct parked *next;
    struct parking *parking;
    struct bus_route route;
    struct parking_ticket ticket;
    struct loop_timer timer;
    struct buffer body; /* a copy of the whole: its message is gone when it is answered */
};

struct parking {
    struct loop *loop;
    struct store *store;
    struct parked *parked; /* oldest first */
    unsigned parked_count;
    uint64_t applied; /* when it was last looked */
};

struct parking *parking_new(struct loop *loop, struct store *store)
{
    struct parking *parking = memory_new_zeroed(1, sizeof(*parking));
    parking->loop = loop;
    parking->store = store;
    parking->applied = store_applied_index(store);
    return parking;
}

static void parked_free(struct parked *parked)
{
    parked->parking->parked_count--;
    loop_timer_cancel(parked->parking->loop, &parked->timer);
    buffer_free(&parked->body);
    free(parked);
}

void parking_free(struct parking *parking)
{
    while (parking && parking->parked) {
        struct parked *parked = parking->parked;
        parking->parked = parked->next;
        parked_free(parked);
    }
    free(parking);
}

/* It is in no list any more. */
static void parked_answer(struct parked *parked, bool in_time)
{
    struct wire_reader body = wire_reader_of(parked->body.bytes, parked->body.length);
    parked->ticket.fn(parked->ticket.context, &parked->route, &body, in_time);
    parked_free(parked);
}

static void parked_on_timeout(void *context)
{
    struct parked *parked = context;
    struct parked **link = &parked->parking->parked;
    while (*link != parked)
        link = &(*link)->next;
    *link = parked->next;
    parked_answer(parked, false);
}

static void park(struct parking *parking, const struct bus_route *route, struct wire_reader body,
                 const struct parking_ticket *ticket)
{
    struct parked *parked = memory_new_zeroed(1, sizeof(*parked));
    uint32_t wait_ms = ticket->wait_ms < PARKING_MS_MAX ? ticket->wait_ms : PARKING_MS_MAX;
    parked->parking = parking;
    parked->route = *route;
    parked->ticket = *ticket;
    buffer_append(&parked->body, body.at, body.left);
    struct parked **last = &parking->parked;
    while (*last)
        last = &(*last)->next; /* few: a caller has at most LIMIT_BUS_CALLS_MAX */
    *last = parked;
    parking->parked_count++;
    loop_timer_set(parking->loop, &parked->timer, loop_now_ms(parking->loop) + wait_ms,
                   parked_on_timeout, parked);
}

void parking_take(struct parking *parking, const struct bus_route *route, struct wire_reader body,
                  const struct parking_ticket *ticket)
{
    if (ticket->index_min <= store_applied_index(parking->store))
        ticket->fn(ticket->context, route, &body, true);
    else if (parking->parked_count == PARKING_PLACES_MAX)
        ticket->fn(ticket->context, route, &body, false);
    else
        park(parking, route, body, ticket);
}

static void parking_give_up(struct parking *parking)
{
    while (parking->parked) {
        struct parked *parked = parking->parked;
        parking->parked = parked->next;
        parked_answer(parked, false);
    }
}

void parking_on_applied(struct parking *parking)
{
    uint64_t applied = store_applied_index(parking->store);
    bool went_back = applied < parking->applied;
    struct parked **link = &parking->parked;
    parking->applied = applied;
    while (*link) {
        struct parked *parked = *link;
        if (parked->ticket.index_min > applied) {
            link = &parked->next;
            continue;
        }
        *link = parked->next;
        parked_answer(parked, true);
    }
    if (went_back)
        parking_give_up(parking);
}
