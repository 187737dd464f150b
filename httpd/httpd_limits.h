/* httpd's own bounds, beside those of common/limits.h: the reason, and what happens at each. */
#pragma once

#include "limits.h"

/* A request's head. */
#define HTTPD_FIELDS_MAX 100u       /* header lines; browsers send about twenty. More: 431 */
#define HTTPD_PARAMETERS_MAX 12u    /* query parameters; a range may have nine. More: 400 */
#define HTTPD_METHOD_BYTES_MAX 32u  /* longer is no method of any registry: 400 */
#define HTTPD_DETAIL_BYTES_MAX 256u /* a problem's text for people; cut */

/* What libmicrohttpd may use for one connection: the longest head, its table of header lines, and
 * an answer's head with the longest Location. Past it libmicrohttpd itself says 414 or 431. It
 * clears all of it behind each request. More than 32 KiB, so that it comes from the system and goes
 * back there: a connection that only opens touches none of it. */
#define HTTPD_CONNECTION_BYTES_MAX (LIMIT_HTTP_HEADER_BYTES_MAX + (20u << 10))

/* How long a client may take: to the end of its head from the end of its first line (before that a
 * connection is idle: LIMIT_HTTP_IDLE_MS_MAX from its beginning, or its last answer); for a body,
 * and per byte of it. Later: 408, if there is a request, and the connection ends. */
#define HTTPD_HEAD_MS_MAX 10000u
#define HTTPD_BODY_MS_MAX 20000u
#define HTTPD_BODY_BYTES_PER_S_MIN (16u << 10)

/* Descriptors kept free for all that is no client (edges, logs, lingering ends). If the process may
 * open fewer than this and LIMIT_HTTP_CONNECTIONS_MAX together, the connection cap sinks. */
#define HTTPD_SPARE_FDS 256u
#define HTTPD_CONNECTIONS_MIN 16u /* with fewer descriptors than that the daemon does not start */
/* A client's address may hold so many of the connections: the others are not shut out by one. */
#define HTTPD_CONNECTIONS_OF_ONE(all) ((all) / 4 * 3)
/* Connections over a cap are accepted to be told so (503, or 429 for an address's own), so many at
 * once; more wait in the listen backlog, for the moment that takes. */
#define HTTPD_REFUSALS_MAX 32u

/* Bodies. One that is refused is read to its end and dropped if that is short, so that the
 * connection lives on; else the answer goes out at once and the connection ends. */
#define HTTPD_SWALLOW_BYTES_MAX (64u << 10)
#define HTTPD_BODY_KEEP_BYTES_MAX 4096u /* a connection's buffer above this is not kept */
/* A transaction. More: 413. (A value of the cap in base64 would be more: it has to be put alone.)
 */
#define HTTPD_TXN_BYTES_MAX LIMIT_VALUE_BYTES_CAP
#define HTTPD_JSON_BYTES_MAX 4096u /* an id and an address, and room for spaces. More: 413 */

/* Connections that ended while their client was still sending: read from until the client has seen
 * the answer. Beyond these, they are simply closed. */
#define HTTPD_LINGER_COUNT_MAX 64u
#define HTTPD_LINGER_MS_MAX 2000u
#define HTTPD_LINGER_BYTES_MAX (64u << 20)

/* Calls in flight, of LIMIT_BUS_CALLS_MAX places on an edge. While they are all taken, requests
 * collect, and the next message carries them together: this is what makes batches. */
#define HTTPD_PROPOSE_CALLS_MAX 4u
/* So many of one turn go out while it reads the others: the log syncs them meanwhile. Fewer are not
 * worth a batch of their own. */
#define HTTPD_PROPOSE_EARLY_COUNT 128u
#define HTTPD_READ_INDEX_CALLS_MAX 1u /* two make batches of half the size */
#define HTTPD_READ_CALLS_MAX 4u
/* What the results of a batch may have: one transaction more than that still fits a frame. */
#define HTTPD_RESULTS_BYTES_MAX (8u << 20)
/* Changes of members or leader: raftd makes one at a time anyway. More: 503. */
#define HTTPD_CHANGES_CALLS_MAX 8u

/* Scans. A client that does not read on holds a part (LIMIT_SCAN_PART_BYTES_SOFT and one value): at
 * the bytes no further ones are asked for. While others wait for bytes or for a place, the client
 * that is slowest, if it has taken so long over a part, is cut. Answers are made in steps, and end
 * some time after their view has. */
#define HTTPD_SCAN_CALLS_MAX 8u
#define HTTPD_SCAN_BYTES_MAX (64u << 20)
#define HTTPD_SCAN_PART_MS_MAX 10000u
#define HTTPD_SCAN_SLOW_MS_MIN 2000u
#define HTTPD_SCAN_MS_MAX (LIMIT_SCAN_MS_MAX + 30000u)
#define HTTPD_STREAM_STEP_BYTES (16u << 10)
/* While writes wait for their results, all scans together get one part in this time: a scan of all
 * keys would otherwise take the processors from them. */
#define HTTPD_SCAN_PACE_MS 10u

/* Watches. A client that does not read on holds a part and one value; at the bytes no further ones
 * are asked for, and those who wait may be overtaken by history. More watches: 503. After so long a
 * silence a comment. */
#define HTTPD_WATCHES_MAX 1024u
#define HTTPD_WATCH_CALLS_MAX 4u
#define HTTPD_WATCH_PART_BYTES_SOFT (64u << 10)
#define HTTPD_WATCH_BYTES_MAX (64u << 20)
#define HTTPD_WATCH_BEAT_MS 10000u
/* At the count, those that are there are looked at again, at most so often. */
#define HTTPD_WATCH_PROBE_MS 500u
#define HTTPD_WATCH_CALL_MS_MAX 5000u

/* Requests passed on to the leader (follower_mode proxy). Beyond the connections they wait for one;
 * beyond the count: 503. */
#define HTTPD_FORWARDS_MAX 1024u
#define HTTPD_FORWARD_CONNECTIONS_MAX 64u /* their descriptors are spare ones */
#define HTTPD_FORWARD_IDLE_S_MAX 20u      /* well before the leader's httpd ends an idle one */
/* Of a body, either way, while the other end has not taken it; a leader that sends nothing of the
 * rest, or takes nothing, for so long: cut, or unknown. */
#define HTTPD_FORWARD_HELD_BYTES (64u << 10)
#define HTTPD_UPLOAD_HELD_BYTES (HTTPD_FORWARD_HELD_BYTES + HTTPD_CONNECTION_BYTES_MAX)
#define HTTPD_FORWARD_SILENCE_MS_MAX 15000u
/* While some wait for a connection, a client that takes so long over that is cut; looked at so
 * often. */
#define HTTPD_FORWARD_SLOW_MS_MIN 2000u
#define HTTPD_FORWARD_LOOK_MS 100u
/* So long a leader that was named is the one a body is passed on to before raftd was asked. */
#define HTTPD_LEADER_KNOWN_MS 5000u
#define HTTPD_FORWARDED_HEADER "X-Conure-Forwarded-By"

/* Waiting. */
#define HTTPD_STALE_READ_MS_MAX 3000u /* 503 */
#define HTTPD_SURVEY_MS_MAX 1000u     /* the page is made from what is known */
#define HTTPD_CALL_SLACK_MS 1000u /* calls outlive their requests: the requests' clock decides */

/* The beginning: connections are accepted when both edges are up, so that a restart is a pause and
 * no refusal. After this long without them: accepted, and answered 503. */
#define HTTPD_HOLD_MS_MAX 500u

/* The end of the process: how long a client may leave a connection idle before it is closed (one
 * that never carried a request may be about to), and how long all of it may take. */
#define HTTPD_DRAIN_POLL_MS 50u
#define HTTPD_DRAIN_IDLE_MS_MAX 200u
#define HTTPD_DRAIN_FRESH_MS_MAX 1000u
#define HTTPD_DRAIN_MS_MAX 2000u

/* Requests that wait without their connection being suspended: each run of libmicrohttpd asks them
 * all, some 0.1 us each. More are suspended. Meanwhile it is run at least so often. */
#define HTTPD_IN_PLACE_MAX 512u
#define HTTPD_IN_PLACE_LOOK_MS 5u
/* Passes of libmicrohttpd that it asks for and in which nothing happens; then it gets one in the
 * time above. A chunk's line longer than its memory would keep it busy until the deadline. */
#define HTTPD_IDLE_PASSES_MAX 4u

/* Passes of libmicrohttpd in one turn before the edges get theirs. */
#define HTTPD_RUNS_MAX 8u

_Static_assert(HTTPD_CONNECTION_BYTES_MAX > 32u << 10, "libmicrohttpd maps it");
_Static_assert(HTTPD_RESULTS_BYTES_MAX + LIMIT_VALUE_BYTES_CAP + (2u << 20) <
                   LIMIT_FRAME_BODY_BYTES_MAX,
               "the results of a batch fit a frame");
_Static_assert(HTTPD_PROPOSE_CALLS_MAX + HTTPD_READ_INDEX_CALLS_MAX + HTTPD_CHANGES_CALLS_MAX + 1 <
                   LIMIT_BUS_CALLS_MAX,
               "raftd's edge always has a place for a status call");
_Static_assert(
    2 * HTTPD_FORWARD_CONNECTIONS_MAX + HTTPD_LINGER_COUNT_MAX + HTTPD_REFUSALS_MAX <
        HTTPD_SPARE_FDS,
    "connections to the leader, and refusals, need no descriptor that a client was promised");
_Static_assert(2000 * HTTPD_FORWARD_IDLE_S_MAX < LIMIT_HTTP_IDLE_MS_MAX,
               "a connection that is used again was not just closed at its other end");
_Static_assert(2 * HTTPD_READ_CALLS_MAX + HTTPD_SCAN_CALLS_MAX + HTTPD_WATCH_CALLS_MAX + 2 + 1 <
                   LIMIT_BUS_CALLS_MAX,
               "storaged's edge always has a place for a status call");
