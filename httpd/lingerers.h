/* Connections that ended while their client was still sending. Closing such a socket would send a
 * reset, and a reset may take the answer away from the client before it was read. So a second
 * descriptor of it is kept, and what still comes is read and dropped until the client closes, or
 * time or bytes run out. */
#pragma once

#include "loop.h"

#include <stdbool.h>

struct lingerers;

struct lingerers *lingerers_new(struct loop *loop);
void lingerers_free(struct lingerers *lingerers);
/* Takes a duplicate of `fd`, whose sending side is, or is about to be, shut down by its owner. Over
 * the limit nothing happens: the owner's close is then the end. */
void lingerers_take(struct lingerers *lingerers, int fd);
bool lingerers_is_empty(const struct lingerers *lingerers);
