/* Every bound of the system in one place: its value, the reason, and what happens at it (invariant
 * 10). Bytes, counts and milliseconds are different words; the unit stands before the qualifier. */

/* The compiler's own <limits.h> looks for the C library's by #include_next and may find this file
 * first: pass it on. (So no #pragma once here.) */
#include_next <limits.h>

#ifndef CONURE_LIMITS_H
#define CONURE_LIMITS_H

/* Keys and values. Over the limit: 413, nothing stored. */
#define LIMIT_KEY_BYTES_CAP 1024u         /* four keys fit a 4 KiB page: a branch always fans out */
#define LIMIT_VALUE_BYTES_CAP (16u << 20) /* one value still fits one frame */
#define LIMIT_VALUE_BYTES_DEFAULT (1u << 20)

/* Frames on the edges between processes. Larger: the connection is cut. */
#define LIMIT_FRAME_BODY_BYTES_MAX (32u << 20) /* one value of the cap, a full batch, and room */
#define LIMIT_BATCH_BYTES_SOFT (1u << 20) /* a batch is closed by the record that crosses this */
#define LIMIT_BATCH_RECORDS_MAX 4096u     /* a turn's worth at full load; the rest waits a turn */

/* Edges between processes. At the limit of calls the caller keeps collecting its batch: nothing is
 * lost. */
#define LIMIT_BUS_CALLS_MAX 32u
/* Answers a caller has not read. Over it, the callee takes no further calls from it. */
#define LIMIT_BUS_ANSWERS_BYTES_MAX LIMIT_FRAME_BODY_BYTES_MAX
#define LIMIT_BUS_PEERS_MAX 64u /* connections per listener; the oldest ungreeted goes first */
#define LIMIT_GREETING_BYTES_MAX 4096 /* a frame before HELLO was accepted; larger: cut */
#define LIMIT_GREETING_MS_MAX 5000    /* a connection that has not said HELLO by then is cut */

/* Between nodes. Over it, messages are dropped (raft sends again); entries and snapshots wait. */
#define LIMIT_PEER_CONTROL_BYTES_MAX (1u << 20)
#define LIMIT_PEER_UNSENT_BYTES_MAX (4u << 20) /* a few batches: enough to fill a fast network */

/* Reconnecting to a restarted peer. */
#define LIMIT_RECONNECT_MS_MIN 10
#define LIMIT_RECONNECT_MS_MAX 100
#define LIMIT_RECONNECT_TCP_MS_MAX 500 /* a machine that refuses may do so for hours */
#define LIMIT_DIAL_MS_MAX 2000         /* an address that does not answer */
#define LIMIT_DIAL_TCP_MS_MAX 1000 /* given up and tried again: a second finds a healed network */

/* Work accepted but not finished. At the limit: BUSY, which httpd answers 503 + Retry-After. */
#define LIMIT_UNCOMMITTED_BYTES_MAX (64u << 20) /* raftd: proposed, not yet applied */
/* Room on the disk. storaged says NO_SPACE while the disk and its file together have less than the
 * reserve free: keys are refused then, and deletes, with all they cause, go into it. While the disk
 * has less than TIGHT free for what is proposed and not yet applied, keys come in small portions
 * (beyond them: BUSY): so little is under way when storaged says so that the reserve carries it. */
#define LIMIT_DISK_RESERVE_BYTES (16u << 20)
#define LIMIT_DISK_TIGHT_BYTES (64u << 20)
#define LIMIT_DISK_TIGHT_UNCOMMITTED_BYTES (2u << 20)
#define LIMIT_BODIES_BYTES_MAX (128u << 20) /* httpd: request bodies being received or answered */
#define LIMIT_WRITE_MS_MAX 5000             /* a write not known committed by then: 504 unknown */
/* A change of members or leader: a joining node may need a whole snapshot first. raftd answers by
 * then, if need be that it does not know yet. */
#define LIMIT_MEMBERS_MS_MAX 60000

/* Read views of the tree. At the count no further one is opened; when all together hold more pages
 * than these allow (the larger of the two), the oldest is expired, and says so when it is used. */
#define LIMIT_VIEWS_MAX 64u
#define LIMIT_VIEWS_HELD_PAGES_MIN 16384u /* 64 MiB: so much may always be held */
#define LIMIT_VIEWS_HELD_SHARE 2u         /* or half of the pages in use */

/* Transactions: in each of the three lists. More: 413. All of one is applied in one go, so this
 * also bounds how long storaged's loop is in it: a few milliseconds. */
#define LIMIT_TXN_OPERATIONS_MAX 1024u
/* The answer to APPLY ends behind the entry whose result crosses this, and says how far it came:
 * raftd goes on from there. Results of plain commands never reach it. */
#define LIMIT_APPLIED_BYTES_SOFT (128u << 10)

/* Scans. A longer one keeps a view; at the count the one that was asked for longest ago gives way
 * (httpd has no more than so many at once, so its reader is gone). When the time is over the view
 * is given up, and the reader hears where to go on. */
#define LIMIT_SCANS_MAX 32u
#define LIMIT_SCAN_MS_MAX 120000u
/* A part is closed by the record that crosses the bytes, or by the count: storaged's loop spends
 * less than a millisecond in it. Keys that are only counted are counted by whole pages. */
#define LIMIT_SCAN_PART_BYTES_SOFT (128u << 10)
#define LIMIT_SCAN_PART_RECORDS_MAX 2048u
#define LIMIT_SCAN_PART_COUNT_MAX 65536u

/* Entries the log keeps behind storaged's durable index, for followers that lag a little. The
 * smaller of the two decides; a file of the log goes when it is older than that. */
#define LIMIT_LOG_KEPT_ENTRIES 10000u
#define LIMIT_LOG_KEPT_BYTES (128u << 20)
/* Entries that wait for storaged are kept in memory up to this; over it, they are read from the
 * files. */
#define LIMIT_LOG_MEMORY_BYTES (64u << 20)
/* While a snapshot is being sent, what comes behind it is kept up to this. */
#define LIMIT_LOG_HELD_BYTES (1024u << 20)

/* HTTP. At the connection cap new ones are refused, 503. */
#define LIMIT_HTTP_CONNECTIONS_MAX 4096u
#define LIMIT_HTTP_HEADER_BYTES_MAX (16u << 10) /* 431; no client sends half of it */
#define LIMIT_HTTP_URI_BYTES_MAX                                                                   \
    (8u << 10) /* 414; a key of 1 KiB, every byte escaped, is 3 KiB                                \
                */
#define LIMIT_HTTP_IDLE_MS_MAX 60000
#define LIMIT_LISTEN_BACKLOG 4096

/* Names and text. */
#define LIMIT_NODE_ID_BYTES_MAX 64u
#define LIMIT_ADDRESS_BYTES_MAX 264u /* a DNS name (253), a colon, a port, and the NUL */
#define LIMIT_PATH_BYTES_MAX 4096u
#define LIMIT_SEEDS_MAX 16u
#define LIMIT_URL_BYTES_MAX 512u
#define LIMIT_LOG_LINE_BYTES_MAX 1024u
/* raftd's membership as one log entry: 16 members with addresses of 75 characters each. It stands
 * in storaged's meta page, with which it is committed. raftd refuses to propose a larger one; a
 * storaged that meets one ends rather than go past it. */
#define LIMIT_CONFIGURATION_BYTES_MAX 3840u
#define LIMIT_LOCK_WAIT_MS 5000 /* an orphan that is still closing its files gets this long */

_Static_assert(LIMIT_BATCH_BYTES_SOFT + LIMIT_VALUE_BYTES_CAP + LIMIT_KEY_BYTES_CAP +
                       64u * LIMIT_BATCH_RECORDS_MAX <
                   LIMIT_FRAME_BODY_BYTES_MAX,
               "a closed batch with one largest value must fit a frame");
_Static_assert(LIMIT_BATCH_RECORDS_MAX * 16u < LIMIT_APPLIED_BYTES_SOFT,
               "a batch of plain commands is answered as a whole");

_Static_assert(4 * LIMIT_DISK_TIGHT_UNCOMMITTED_BYTES < LIMIT_DISK_RESERVE_BYTES &&
                   2 * LIMIT_DISK_RESERVE_BYTES < LIMIT_DISK_TIGHT_BYTES,
               "what is under way fits the reserve several times, as entries and as pages");

#endif
