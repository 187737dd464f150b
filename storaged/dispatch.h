/* storaged's messages: who may send which, and what answers it (the table in dispatch.c). */
#pragma once

#include "bus.h"
#include "checkpointer.h"
#include "hello.h"
#include "install.h"
#include "loop.h"
#include "reads.h"
#include "snapshots.h"
#include "store.h"

struct storaged {
    struct loop *loop;
    struct store *store;
    struct worker *worker;
    struct checkpointer *checkpointer;
    struct reads *reads;
    struct snapshots *snapshots;
    struct install *install;
    struct bus_server *server;
    struct hello hello; /* what this process says of itself */
    struct buffer reply;
    bool applied_some; /* in this turn */
    bool replaced;     /* conure.db is another file now: the process is beginning anew */
    bool damaged;      /* an entry could not be applied: the process is ending */
};

/* Listens on DATADIR_STORAGED_URL. Everything but `server` is set up before. Errors as
 * bus_server_new. */
int storaged_listen(struct storaged *storaged, struct error *error);
/* Numbers of the messages that have a handler, ending with 0: for the test that walks the message
 * table. */
const uint16_t *storaged_handled(void);
