/* What a node that is not the leader does with a request that only the leader can serve:
 * follower_mode. */
#pragma once

#include "request.h"

/* Answers it, or has it answered by the leader (proxy.h); nothing was done for it here. An empty
 * `hint`: nobody knows the leader. `wait_ms`: how long the leader may take. */
void follower_answer(struct request *request, const struct leader_hint *hint, uint64_t wait_ms);

/* follower_mode proxy: the URL of the leader that a large body may be passed on to while it comes.
 * NULL: not known, or this request is not to be passed on (nor while httpd drains: nothing may be
 * suspended any more at its end). */
const char *follower_find_leader(const struct request *request);
/* It is not the leader, or cannot be reached: raftd is to be asked again. */
void follower_forget_leader(struct httpd *httpd);
