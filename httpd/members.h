/* The routes that change who belongs to the cluster and who leads it. */
#pragma once

#include "dispatch.h"

void members_on_reply(struct edge_call *call, enum edge_end end, struct wire_reader *body);
