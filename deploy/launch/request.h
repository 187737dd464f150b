/* The control protocol: one line asked, one line of JSON answered, then the launcher closes.
 *
 *   status              {"node_id":...,"http_addr":...,"launch":{...},"daemons":[{...},...]}
 *   start|stop|restart D    {"ok":true,"message":"httpd is ready"} or {"ok":false,"message":...},
 *                       when the daemon has come to rest */
#pragma once

#include "error.h"

enum request_verb { REQUEST_STATUS, REQUEST_START, REQUEST_STOP, REQUEST_RESTART, REQUEST_VERBS };

struct request {
    enum request_verb verb;
    unsigned daemon; /* its place in `kinds`; 0 if the verb takes none */
};

/* Words are parted by single or several spaces. -EINVAL with a line: what is allowed, what was
 * perhaps meant. The client asks here too, before it sends anything. */
int request_parse(const char *line, struct request *ret_request, struct error *error);
