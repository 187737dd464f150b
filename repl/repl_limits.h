/* Bounds of the REPL: value, reason, and what happens at it. */
#pragma once

#include "limits.h"

#define REPL_SERVERS_MAX (LIMIT_SEEDS_MAX + 1u) /* a node's seeds and itself; more: refused */
#define REPL_WORDS_MAX 64u     /* a command has a handful; more: the line is refused */
#define REPL_REDIRECTS_MAX 5u  /* to the leader is one, an election may add some; then given up */
#define REPL_TIMEOUT_MS 10000u /* --timeout's default: twice what a node takes for a write */
/* The same for a change of members or leader, for which a node takes up to LIMIT_MEMBERS_MS_MAX. */
#define REPL_CHANGE_TIMEOUT_MS 75000u
#define REPL_PROBE_MS_MAX 3000u /* who is this? */
/* So long new nodes wait for a seed that does not say who it is, before they make a cluster without
 * it: it may have one already, and the two could not be made one. */
#define REPL_SILENT_MS_MAX 10000u
#define REPL_TIMEOUT_MS_MAX 3600000u
#define REPL_COMPLETE_MS_MAX 1000u /* Tab: nobody waits longer for that */
#define REPL_CONNECT_MS_MAX 3000u  /* a silent host must leave time for the next server */
/* A watch hears from its server at least each ten seconds; after this it asks another. */
#define REPL_SILENCE_S_MAX 30u
#define REPL_AGAIN_MS 200u /* between two tries: to go on with a watch, to hear from a seed */

/* A script's line: the largest value with each byte as \xNN, and its key. Longer: the script ends.
 */
#define REPL_LINE_BYTES_MAX (4u * (LIMIT_VALUE_BYTES_CAP + LIMIT_KEY_BYTES_CAP) + 256u)
/* A server's answer: the largest value, or a status page. Longer: not read on, a failure. */
#define REPL_ANSWER_BYTES_MAX (LIMIT_VALUE_BYTES_CAP + (64u << 10))
/* A server's URL and behind it the longest path and query a node takes. */
#define REPL_URL_BYTES_MAX (LIMIT_URL_BYTES_MAX + LIMIT_HTTP_URI_BYTES_MAX)

/* Keys asked for at once by scan; fewer where an answer would be too large. */
#define REPL_PAGE_KEYS 1000u

#define REPL_HISTORY_LINES_MAX 1000       /* the oldest are forgotten */
#define REPL_HISTORY_LINE_BYTES_MAX 4096u /* a longer line is not remembered */

_Static_assert(REPL_CHANGE_TIMEOUT_MS > LIMIT_MEMBERS_MS_MAX + 10000u,
               "who waits for a change gets to know its outcome");
