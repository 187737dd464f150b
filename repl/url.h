/* URLs: a key's bytes in a query, a server as people write it, and where a redirect leads. */
#pragma once

#include "buffer.h"
#include "error.h"
#include "repl_limits.h"

/* Every byte but letters, digits and "-._~" becomes %XX (RFC 3986, 2.1 to 2.3). */
void url_append_encoded(struct buffer *into, const char *bytes, size_t length);

struct url_servers {
    char urls[REPL_SERVERS_MAX][LIMIT_URL_BYTES_MAX]; /* without a slash at the end */
    unsigned count;
};

/* "URL[,URL...]"; the scheme (http) and the host (127.0.0.1) may be left out, so host:port and
 * :port will do. -EINVAL with what is allowed. */
int url_parse_servers(const char *text, struct url_servers *ret_servers, struct error *error);

/* `location` as seen from `base` (RFC 3986, 5). -EINVAL if it is no http or https URL or too long.
 */
int url_resolve(const char *base, const char *location, char into[REPL_URL_BYTES_MAX]);
