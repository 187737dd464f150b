/* What followers still need, as fast as their connections take it: asks the core (raft_wants) for
 * each member while there is room to send. Owner: raftd. */
#pragma once

#include "consensus.h"
#include "peers.h"
#include "snapshot_out.h"

/* Call at turn end. A log that was damaged since it was opened ends in -EBADMSG (invariant 7). */
int replicate_flush(struct consensus *consensus, struct peers *peers,
                    struct snapshot_out *snapshots);
