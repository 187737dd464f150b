/* A snapshot on its way to a member whose log ends where the leader's has been cut. Owner: raftd.
 *
 * One stream at a time, part by part: storaged's read view -> here -> the member's raftd -> its
 * storaged, which alone look inside. A few parts are on their way at once; nothing is kept here.
 *
 *   OPENING (a view) -> BEGINNING (the member takes it?) -> SENDING -> ENDING (it is verified and
 *   durable there) -> over
 *
 * Whatever goes wrong, also a member that is too slow, ends the stream; the core asks again and a
 * new one begins after SNAPSHOT_OUT_PAUSE_MS. */
#pragma once

#include "feed.h"
#include "peers.h"

/* Parts on their way to the member. No further one is read while these bytes are: a part with a
 * large value goes alone, so that it has its time to itself. */
#define SNAPSHOT_OUT_WINDOW 4u
#define SNAPSHOT_OUT_WINDOW_BYTES (1u << 20)
#define SNAPSHOT_OUT_PART_MS_MAX 20000u /* a member that takes longer for one is given up */
#define SNAPSHOT_OUT_END_MS_MAX 120000u /* to sync it all */
#define SNAPSHOT_OUT_MS_MAX 900000u     /* so long may a slow member pin pages of the tree */
#define SNAPSHOT_OUT_PAUSE_MS 1000u
#define SNAPSHOT_OUT_HOLD_MS 5000u /* what comes behind it is kept until the member asks for it */

struct snapshot_out;

struct snapshot_out_options {
    struct loop *loop;
    struct feed *feed;
    struct peers *peers;
    struct consensus *consensus;
};

struct snapshot_out *snapshot_out_new(const struct snapshot_out_options *options);
void snapshot_out_free(struct snapshot_out *out);
/* The core wants one sent to this member. Begins it if none is under way. */
void snapshot_out_begin(struct snapshot_out *out, uint64_t member);
bool snapshot_out_is_sending(const struct snapshot_out *out, uint64_t member);
/* Leadership is lost. */
void snapshot_out_stop_all(struct snapshot_out *out);
/* Entries behind this index must be kept (consensus_hold). */
uint64_t snapshot_out_hold_index(const struct snapshot_out *out);
