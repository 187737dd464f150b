/* HTTP through libcurl, one connection a client, kept alive. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct client;

struct answer {
    int status; /* 0: no answer; see curl_code */
    int curl_code;
    bool sent; /* false: not a byte of the request was sent: nobody can have carried it out */
    uint64_t ms;
    char *body; /* NUL behind it; valid until the client's next request */
    size_t body_bytes;
    char etag[32], content_type[64], allow[64], retry_after[16], revision[32], applied_index[32],
        location[256];
};

struct client *client_new(const char *base_url, unsigned timeout_ms);
void client_free(struct client *client);
/* A change is sent once: libcurl sends a request without a body by itself again when a kept
 * connection turns out to be dead, so from now on each of those gets a new one. */
void client_send_once(struct client *client);
/* `target`: path and query, already encoded. `body` may be NULL; `header` is one more header line
 * or NULL. */
struct answer client_do(struct client *client, const char *method, const char *target,
                        const void *body, size_t body_bytes, const char *header);

/* "/kv?key=" + the key percent-encoded. */
void key_target(char *into, size_t into_bytes, const void *key, size_t key_bytes);
