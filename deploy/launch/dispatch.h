/* What callers on the control socket may ask of the node. */
#pragma once

#include "control.h"

struct node;

/* The control socket's handlers; `context` is the struct node. */
void dispatch_on_request(void *context, struct control_call *call, const char *line);
void dispatch_on_late(void *context, struct control_call *call);

/* A daemon's state has changed: answers the calls that waited for it. */
void dispatch_on_change(struct node *node);
