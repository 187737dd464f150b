/* storaged's messages: who may send which, and what answers it (the table in dispatch.c). */
#pragma once

#include "bus.h"
#include "checkpointer.h"
#include "hello.h"
#include "install.h"
#include "loop.h"
#include "parking.h"
#include "reads.h"
#include "scans.h"
#include "snapshots.h"
#include "store.h"
#include "watches.h"

struct storaged {
    struct loop *loop;
    struct store *store;
    struct worker *worker;
    struct checkpointer *checkpointer;
    struct parking *parking;
    struct reads *reads;
    struct scans *scans;
    struct watches *watches;
    struct snapshots *snapshots;
    struct install *install;
    struct bus_server *server;
    struct hello hello; /* what this process says of itself */
    struct buffer reply;
    bool applied_some; /* in this turn */
    bool owes_status;  /* to raftd, at `status_route`: until an install has ended */
    struct bus_route status_route;
    bool damaged; /* an entry could not be applied: the process is ending */
};

/* Listens on DATADIR_STORAGED_URL. Everything but `server` is set up before. Errors as
 * bus_server_new. */
int storaged_listen(struct storaged *storaged, struct error *error);
/* For install_options: what waited for the store, or for what became of it, is answered. */
void storaged_on_install_ended(void *context, bool is_installed);
/* Numbers of the messages that have a handler, ending with 0: for the test that walks the message
 * table. */
const uint16_t *storaged_handled(void);
