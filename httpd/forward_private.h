/* A forward's inside, for its files: forward.c (the request on its way, the answer on its way
 * back), forward_upload.c (a body that is passed on while it comes), forward_room.c (who is cut
 * while others wait). */
#pragma once

#include "forward.h"
#include "stream.h"

/* A body that is passed on while it comes. */
struct upload {
    struct buffer bytes; /* not yet taken by libcurl from bytes_at on */
    size_t bytes_at;
    uint64_t left; /* to come from the client */
    uint64_t piece_bytes;
    bool is_used;      /* there is one */
    bool leader_waits; /* libcurl would take more */
};

struct forward {
    struct stream out;       /* first: the answer; its text is what the client has not taken yet */
    struct request *request; /* until the answer begins: it is the request's slot */
    struct forwards *forwards;
    TAILQ_ENTRY(forward) link;
    CURL *curl; /* NULL: nothing more comes from the leader */
    struct curl_slist *headers;
    struct loop_timer timer; /* at first for the answer's beginning, then for its next bytes */
    uint64_t wait_ms;        /* for the answer, once the leader has the request */
    unsigned sendings;
    bool is_write;
    struct upload upload;
    bool has_body, is_passed_on; /* the answer */
    bool is_paused;              /* libcurl holds bytes that there was no room for */
    bool is_broken;
    bool is_cut;         /* to make room: that says nothing of the leader */
    const char *refusal; /* why its answer was not taken, or NULL */
    uint64_t piece_ms;   /* when its client had taken, or given, HTTPD_FORWARD_HELD_BYTES more */
    char reason[CURL_ERROR_SIZE];
};

/* forward.c */
/* Nothing more comes, and what came is not whole: answered, or cut. It may be gone then. */
void forward_break(struct forward *forward, const char *why);
void forward_set_timer(struct forward *forward, uint64_t wait_ms);
/* The leader is given so much time for the next bytes, or to take them, from the moment there is
 * room for them. */
void forward_expect_more(struct forward *forward);

/* forward_upload.c */
/* Not all of it was given to libcurl: nobody can have carried it out. */
bool forward_upload_is_open(const struct forward *forward);
/* CURLOPT_READFUNCTION. */
size_t forward_on_read(char *into, size_t one, size_t length, void *context);

/* forward_room.c */
/* Some wait for a connection. */
bool forwards_are_crowded(const struct forwards *forwards);
/* While they do, nobody may hold one at his leisure: cuts who is too slow, now and later. For when
 * one more is on its way. */
void forwards_make_room(struct forwards *forwards);
