/* A first-in first-out list of requests. Owner: httpd. */
#pragma once

#include "request.h"

struct queue {
    struct request *first, *last;
};

static inline void queue_push(struct queue *queue, struct request *request)
{
    request->next = NULL;
    if (queue->last)
        queue->last->next = request;
    else
        queue->first = request;
    queue->last = request;
}

static inline struct request *queue_pop(struct queue *queue)
{
    struct request *request = queue->first;
    if (!request)
        return NULL;
    queue->first = request->next;
    if (!queue->first)
        queue->last = NULL;
    request->next = NULL;
    return request;
}

/* Moves all of `from` behind `into`. */
static inline void queue_take_all(struct queue *into, struct queue *from)
{
    for (struct request *request = queue_pop(from); request; request = queue_pop(from))
        queue_push(into, request);
}
