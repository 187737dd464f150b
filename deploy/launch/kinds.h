/* The daemons of a node, in the order of their start; they stop in the reverse one. */
#pragma once

#include "service.h"

#define KINDS_COUNT 3u

extern const struct service_kind kinds[KINDS_COUNT];
