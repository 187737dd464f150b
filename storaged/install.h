/* A snapshot that comes in: the records of another node's store, in key order, written to a new
 * file beside conure.db, which takes its place when all of it is there. Owner: storaged.
 *
 *   BEGIN   index and term of the snapshot; ends whatever was begun before
 *   PART    0, 1, 2 ... each with its checksum
 *   END     the count of keys and the state hash are those of the sender: the file is synced, takes
 *           the name conure.db, and this process begins anew with it
 *
 * A crash leaves the old file or the new one whole. No answer comes to an END that succeeded: the
 * process that is asked next says where it is (STORE_STATUS). Until then, everything goes on with
 * the old store. Without parts, and with index 0, the new store is empty. */
#pragma once

#include "bus.h"
#include "loop.h"

#define INSTALL_PATH "install.db"
#define INSTALL_MS_MAX 60000u /* without another part: it is given up */

struct install;

/* Removes what an interrupted one left. `on_installed`: conure.db is another file now; the process
 * must not touch the old one and begin anew. */
struct install *install_new(struct loop *loop, struct bus_server **server,
                            void (*on_installed)(void *context), void *context);
void install_free(struct install *install);
/* Each answers its message. 0, or -EPROTO for a body that cannot be decoded. */
int install_on_begin(struct install *install, struct bus_request *request);
int install_on_part(struct install *install, struct bus_request *request);
int install_on_end(struct install *install, struct bus_request *request);
