/* The commands about who belongs to the cluster and who leads it. */
#pragma once

#include "command.h"

int command_members(const struct invocation *invocation);
int command_join(const struct invocation *invocation);
int command_remove(const struct invocation *invocation);
int command_transfer(const struct invocation *invocation);
