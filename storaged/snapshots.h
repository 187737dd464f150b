/* Snapshots that go out: a read view of the tree, read part by part by raftd for a member that
 * needs it whole. Owner: storaged.
 *
 * A part is bounded in bytes and records, so the loop is never long in one; the reader asks for the
 * next when it has room, or for the same again. Views have deadlines (view.h): a slow reader costs
 * at most the bound, and then hears TIMEOUT. */
#pragma once

#include "bus.h"
#include "loop.h"
#include "store.h"

#define SNAPSHOTS_MAX 4u /* at once; the oldest gives way: its reader is gone, or hears so */
/* A part is closed by the record that crosses this: reads and writes wait for no more than a part.
 */
#define SNAPSHOTS_PART_BYTES (256u << 10)
/* And by so many, which may be small: a millisecond or two. */
#define SNAPSHOTS_RECORDS_MAX LIMIT_BATCH_RECORDS_MAX
#define SNAPSHOTS_MS_MAX 3600000u /* the longest life that is given */

struct snapshots;

struct snapshots *snapshots_new(struct loop *loop, struct store *store, struct bus_server **server);
void snapshots_free(struct snapshots *snapshots);
/* Each answers its message. 0, or -EPROTO for a body that cannot be decoded. */
int snapshots_on_open(struct snapshots *snapshots, struct bus_request *request);
int snapshots_on_read(struct snapshots *snapshots, struct bus_request *request);
int snapshots_on_close(struct snapshots *snapshots, struct bus_request *request);
/* raftd's edge is new: nobody will read on what was opened over the old one. */
void snapshots_forget(struct snapshots *snapshots);
