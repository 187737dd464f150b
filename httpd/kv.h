/* The routes of keys: reads the key, value and conditions of a request, and hands it to writes or
 * reads. */
#pragma once

#include "request.h"

int kv_prepare_read(struct request *request, struct problem *problem);
int kv_prepare_write(struct request *request, struct problem *problem);
void kv_serve_read(struct request *request);
void kv_serve_write(struct request *request);

/* The command of a write request that is whole. */
void kv_encode_command(const struct request *request, struct buffer *into);
