/* GET /watch: changes of keys as server-sent events (WHATWG HTML, 9.2), in the order of their
 * revisions, none left out and none twice.
 *
 *   waiting --WATCH--> answered 200 --WATCH--> ... until the client leaves, or history has gone
 *
 *   id: R                     event: put | delete
 *   data: {"key":"...","value":"...","revision":R}           (no value of a delete)
 *
 * Of a transaction's several changes all but the last that is seen have `R.k` as their id, k
 * counting all its changes: an id is where Last-Event-ID goes on, behind it. After some silence
 * comes a comment, and if other keys changed meanwhile an id alone, which a client remembers: so
 * one whose keys rest does not fall out of history. `event: gone` is the last of a stream that was
 * read so slowly that history went on without it.
 *
 * Any node serves it, from what it has applied. One part of changes is held for each client, and
 * the next is asked for when it has been taken. When storaged is away a stream is silent, and goes
 * on where it was. */
#pragma once

#include "dispatch.h"
#include "request.h"

struct watches;

/* What a request watches. */
struct watching {
    uint64_t from; /* 0: what comes next */
    uint32_t skip;
    uint8_t filter; /* enum watch_filter */
    const uint8_t *key;
    size_t key_bytes;
};

struct watches *watches_new(struct httpd *httpd);
/* No answer may be on its way any more. */
void watches_free(struct watches *watches);

/* The route's: reads prefix or key, from, and Last-Event-ID, which is worth more. */
int watches_prepare(struct request *request, struct problem *problem);
void watches_serve(struct request *request);

/* Sends what came in, and asks for what clients have room for. */
void watches_at_turn_end(struct watches *watches);
void watches_on_storaged_down(struct watches *watches);
/* Streams end, behind a whole event. */
void watches_drain(struct watches *watches);
/* Answers all that wait. */
void watches_finish(struct watches *watches);
unsigned watches_count(const struct watches *watches);
/* Changes sent to clients so far, to each for itself. */
uint64_t watches_events(const struct watches *watches);
/* Of changes that wait for their clients. */
size_t watches_bytes(const struct watches *watches);

void watches_on_changes(struct edge_call *call, enum edge_end end, struct wire_reader *body);
