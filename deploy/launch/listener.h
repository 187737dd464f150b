/* The HTTP socket. The launcher binds it, and keeps it while httpd comes and goes: connections then
 * wait in its queue instead of being refused. */
#pragma once

#include "config.h"

/* Binds and listens. An empty host is every local address, IPv6 and IPv4 on one socket where there
 * is IPv6; of a name with both kinds the IPv4 address is taken. -EADDRINUSE, or another negative
 * errno, with a line naming the address. */
int listener_open(const struct config_address *address, int *ret_fd, struct error *error);
