/* The commands about who belongs to the cluster and who leads it. */
#pragma once

#include "command.h"
#include "url.h"

#include <cjson/cJSON.h>

int command_members(const struct invocation *invocation);
int command_remove(const struct invocation *invocation);
int command_transfer(const struct invocation *invocation);

/* POSTs the command's operands under their names to one of `servers` (NULL: the options'). An exit
 * code, said why. The second says OK, too. */
int members_post(const struct invocation *invocation, const char *path,
                 const struct url_servers *servers);
int members_change(const struct invocation *invocation, const char *path,
                   const struct url_servers *servers);

/* A text in a server's answer; "-" if it is not there. Lives as long as `object`. */
const char *members_text(const cJSON *object, const char *name);
