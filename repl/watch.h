/* The command that shows changes. */
#pragma once

#include "command.h"

int command_watch(const struct invocation *invocation);
