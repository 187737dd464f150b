#include "kinds.h"

#include "launch_limits.h"

const struct service_kind kinds[KINDS_COUNT] = {
    {.name = "storaged",
     .program = "conure-storaged",
     .stop_ms = LAUNCH_STOP_STORAGED_MS,
     .slow_ms = LAUNCH_SLOW_STORAGED_MS},
    {.name = "raftd",
     .program = "conure-raftd",
     .stop_ms = LAUNCH_STOP_MS,
     .slow_ms = LAUNCH_SLOW_MS},
    {.name = "httpd",
     .program = "conure-httpd",
     .stop_ms = LAUNCH_STOP_MS,
     .slow_ms = LAUNCH_SLOW_MS,
     .takes_listener = true},
};
