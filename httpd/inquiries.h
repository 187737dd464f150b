/* Questions about the node: /status, /raft/config, /raft/stats, /livez, /readyz. All that wait
 * share one RAFT_STATUS and one STORE_STATUS. Owner: httpd. */
#pragma once

#include "request.h"

struct inquiries;

struct inquiries *inquiries_new(struct httpd *httpd);
void inquiries_free(struct inquiries *inquiries);
void inquiries_flush(struct inquiries *inquiries);
