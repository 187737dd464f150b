/* The command that lists keys. */
#pragma once

#include "command.h"

int command_scan(const struct invocation *invocation);
