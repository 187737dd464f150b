/* Making a node a member: which of the servers named are to be asked. */
#pragma once

#include "command.h"

int command_join(const struct invocation *invocation);
