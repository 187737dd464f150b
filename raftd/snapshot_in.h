/* A snapshot that the leader sends: its parts are handed to storaged unread, each answered when
 * storaged has answered. Owner: raftd.
 *
 *   BEGIN  the leader is heard, and the snapshot is news        -> INSTALL_BEGIN
 *   PART                                                        -> INSTALL_PART
 *   END    the install is noted in raft/hard_state, the feed stops -> INSTALL_END; whatever the
 *          answer, or none, storaged is then asked where it is, which it says once that is certain:
 *          that decides what came of it (consensus_place), and the leader is answered */
#pragma once

#include "feed.h"
#include "peers.h"

#define SNAPSHOT_IN_MS_MAX 15000u      /* storaged takes longer for a part: given up */
#define SNAPSHOT_IN_END_MS_MAX 600000u /* to sync and verify it all: only its end decides */

struct snapshot_in;

struct snapshot_in_options {
    struct loop *loop;
    struct feed *feed;
    struct peers *peers;
    struct consensus *consensus;
};

struct snapshot_in *snapshot_in_new(const struct snapshot_in_options *options);
void snapshot_in_free(struct snapshot_in *in);
/* SNAPSHOT_BEGIN_TO, _PART_TO, _END_TO of a member. 0, or -EPROTO for a body that cannot be
 * decoded.
 */
int snapshot_in_on_call(struct snapshot_in *in, uint64_t from, struct bus_request *request);
/* What became of the install after END (consensus_place): the leader hears it now. */
void snapshot_in_on_settled(struct snapshot_in *in, bool is_installed);
