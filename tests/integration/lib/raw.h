/* Plain connections, for what libcurl would not send, or not leave unread. */
#pragma once

#include "node.h"

#define RAW_PATIENCE_S 15 /* then recv and send fail with EAGAIN */

/* A connection to the node's HTTP port on loopback; it is the caller's to close. window_bytes: how
 * much the system takes in ahead of the caller, 0 for the usual. */
int raw_connect(const struct node *node, int window_bytes);
/* The same from another address of this host, 127.0.0.`last`. */
int raw_connect_from(const struct node *node, unsigned last, int window_bytes);
/* Sends all of the text; fails the test if it cannot. */
void raw_send(int fd, const char *text);
