/* A snapshot that comes in: the records of another node's store, in key order, written to a new
 * file beside conure.db, which takes its place when all of it is there. Owner: storaged.
 *
 *   BEGIN   index and term of the snapshot; ends whatever was begun before
 *   PART    0, 1, 2 ... each with its checksum
 *   END     keys and state hash are those of the sender: the file is synced and takes the name
 *           conure.db, and this process goes on with it
 *
 * The new file is the worker's: the loop only hands the messages over, in order, and answers them.
 * So END comes behind a checkpoint that is being written, and from then on none is (the
 * checkpointer is held): the old store is never written once the name is another's. Until the end
 * everything goes on with the old store. Then its views expire, and reads that wait get what the
 * new one has.
 *
 * A crash leaves the old file or the new one whole under the name, and at most INSTALL_LITTER,
 * which the next start removes. Refusals end what was begun; so do another BEGIN, a new edge from
 * raftd and INSTALL_MS_MAX without a part. Without parts, and with index 0, the new store is empty.
 */
#pragma once

#include "bulk.h"
#include "bus.h"
#include "checkpointer.h"
#include "datadir.h"
#include "loop.h"
#include "store.h"
#include "worker.h"

#define INSTALL_LITTER DATADIR_TREE_PATH BULK_BESIDE
#define INSTALL_MS_MAX 60000u /* without another part: it is given up */
/* Messages the worker has not come to, each with a copy of its body; further ones are refused. The
 * sender has a window of 4 parts. */
#define INSTALL_STEPS_MAX 8u

struct install;

struct install_options {
    struct loop *loop;
    struct worker *worker;
    struct store *store;
    struct checkpointer *checkpointer;
    struct bus_server **server;
    /* END is through: the store is another now, or it came to nothing. */
    void (*on_ended)(void *context, bool is_installed);
    /* The disk failed, or the new file cannot be opened: the process must end (invariant 7). */
    void (*on_failed)(void *context, int code, const char *reason);
    void *context;
};

/* Removes what an interrupted one left. */
struct install *install_new(const struct install_options *options);
/* Settles the worker; nobody is answered any more. An END that was under way may have come through:
 * the store must not be taken for conure.db then. */
void install_free(struct install *install);
/* INSTALL_BEGIN, INSTALL_PART or INSTALL_END; answered when it is done. */
int install_on_request(struct install *install, struct bus_request *request);
/* Between END and on_ended. Who asks now where the store is would hear of one that may be gone the
 * next moment. */
bool install_is_ending(const struct install *install);
/* raftd's edge is new: what was begun over the old one is given up, unless it is ending. */
void install_forget(struct install *install);
