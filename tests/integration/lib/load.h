/* Many clients at once over a list of records, with retries: one thread and one connection each. */
#pragma once

#include "node.h"
#include "records.h"

#include <stdbool.h>
#include <stdint.h>

#define LOAD_CLIENTS 32u
#define LOAD_REQUEST_MS_MAX                                                                        \
    15000u /* the server's own deadline is 5 s: more than this is a hang                           \
            */

enum load_kind { LOAD_PUT, LOAD_CHECK, LOAD_DELETE };

struct load {
    const struct node *node;
    struct records *records;
    enum load_kind kind;
    bool *deleted;      /* LOAD_CHECK: these must be 404; LOAD_DELETE: these are to be deleted */
    unsigned *attempts; /* LOAD_PUT with it: the value sent is "N\n" + record, N the attempt,
                           counted here */
    unsigned *acked;    /* the attempt that was answered 200 */
    bool retry;         /* on 503, 504, resets and refusals; else those fail the test */
    unsigned rate_max;  /* requests a second, 0: as fast as it goes */
    const char *title;  /* of the progress line */

    /* results */
    unsigned retries_503, outcomes_504, broken;
    uint64_t ms_max, ms;
    char failure[512]; /* "" if all went well */
    unsigned done;
    unsigned next;
    bool stop;
};

/* Runs to the end; fails the test with load->failure. */
void load_run(struct load *load);
/* The same in the background; load_wait ends it. */
void load_start(struct load *load);
void load_wait(struct load *load);
