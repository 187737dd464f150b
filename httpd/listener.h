/* A listening socket of its own, for when httpd is started by hand: otherwise whoever starts it
 * binds the address and passes the socket down. */
#pragma once

#include "config.h"
#include "error.h"

/* An empty host is every local address, IPv6 and IPv4. Errors: negative errno with a line naming
 * the address. */
int listener_open(const struct config_address *address, int *ret_fd, struct error *error);
