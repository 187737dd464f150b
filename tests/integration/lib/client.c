#include "client.h"

#include "node.h"

#include <ctype.h>
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct client {
    CURL *curl;
    char base_url[64];
    char *body;
    size_t body_bytes, body_capacity;
    struct answer answer;
    const char *upload;
    size_t upload_left;
    bool once;
};

struct client *client_new(const char *base_url, unsigned timeout_ms)
{
    struct client *client = calloc(1, sizeof(*client));
    client->curl = curl_easy_init();
    snprintf(client->base_url, sizeof(client->base_url), "%s", base_url);
    curl_easy_setopt(client->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(client->curl, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    curl_easy_setopt(client->curl, CURLOPT_TCP_NODELAY, 1L);
    return client;
}

void client_free(struct client *client)
{
    curl_easy_cleanup(client->curl);
    free(client->body);
    free(client);
}

void client_send_once(struct client *client)
{
    client->once = true;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *context)
{
    struct client *client = context;
    size_t length = size * count;
    if (client->body_bytes + length + 1 > client->body_capacity) {
        client->body_capacity = (client->body_bytes + length + 1) * 2;
        client->body = realloc(client->body, client->body_capacity);
    }
    memcpy(client->body + client->body_bytes, bytes, length);
    client->body_bytes += length;
    client->body[client->body_bytes] = '\0';
    return length;
}

static size_t on_upload(char *into, size_t size, size_t count, void *context)
{
    struct client *client = context;
    size_t length = size * count < client->upload_left ? size * count : client->upload_left;
    memcpy(into, client->upload, length);
    client->upload += length;
    client->upload_left -= length;
    return length;
}

static size_t on_header(char *bytes, size_t size, size_t count, void *context)
{
    struct answer *answer = &((struct client *)context)->answer;
    const struct {
        const char *name;
        char *into;
        size_t into_bytes;
    } wanted[] = {
        {"ETag: ", answer->etag, sizeof(answer->etag)},
        {"Content-Type: ", answer->content_type, sizeof(answer->content_type)},
        {"Allow: ", answer->allow, sizeof(answer->allow)},
        {"Retry-After: ", answer->retry_after, sizeof(answer->retry_after)},
        {"X-Conure-Revision: ", answer->revision, sizeof(answer->revision)},
        {"X-Conure-Applied-Index: ", answer->applied_index, sizeof(answer->applied_index)},
        {"Location: ", answer->location, sizeof(answer->location)},
    };
    size_t length = size * count;
    for (unsigned i = 0; i < sizeof(wanted) / sizeof(*wanted); i++) {
        size_t name = strlen(wanted[i].name);
        if (length > name && !strncasecmp(bytes, wanted[i].name, name)) {
            snprintf(wanted[i].into, wanted[i].into_bytes, "%.*s", (int)(length - name),
                     bytes + name);
            wanted[i].into[strcspn(wanted[i].into, "\r\n")] = '\0';
        }
    }
    return length;
}

struct answer client_do(struct client *client, const char *method, const char *target,
                        const void *body, size_t body_bytes, const char *header)
{
    char url[16384];
    struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
    if (header)
        headers = curl_slist_append(headers, header);
    snprintf(url, sizeof(url), "%s%s", client->base_url, target);
    client->answer = (struct answer){0};
    client->body_bytes = 0;
    (void)on_body("", 1, 0, client);
    client->upload = body;
    client->upload_left = body_bytes;
    CURL *curl = client->curl;
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, client);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, client);
    curl_easy_setopt(curl, CURLOPT_READFUNCTION, on_upload);
    curl_easy_setopt(curl, CURLOPT_READDATA, client);
    curl_easy_setopt(curl, CURLOPT_UPLOAD, body ? 1L : 0L);
    curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)body_bytes);
    curl_easy_setopt(curl, CURLOPT_NOBODY, strcmp(method, "HEAD") ? 0L : 1L);
    if (!body && !strcmp(method, "GET"))
        curl_easy_setopt(curl, CURLOPT_HTTPGET, 1L);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, strcmp(method, "HEAD") ? method : NULL);
    curl_easy_setopt(curl, CURLOPT_FRESH_CONNECT,
                     client->once && !body && strcmp(method, "GET") ? 1L : 0L);
    uint64_t begin_ms = now_ms();
    CURLcode code = curl_easy_perform(curl);
    long status = 0, sent = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(curl, CURLINFO_REQUEST_SIZE, &sent);
    curl_slist_free_all(headers);
    client->answer.status = code == CURLE_OK ? (int)status : 0;
    client->answer.curl_code = (int)code;
    client->answer.sent = code == CURLE_OK || sent > 0;
    client->answer.ms = now_ms() - begin_ms;
    client->answer.body = client->body;
    client->answer.body_bytes = client->body_bytes;
    return client->answer;
}

void key_target(char *into, size_t into_bytes, const void *key, size_t key_bytes)
{
    const unsigned char *bytes = key;
    size_t length = (size_t)snprintf(into, into_bytes, "/kv?key=");
    for (size_t i = 0; i < key_bytes && length + 4 < into_bytes; i++)
        if (isalnum(bytes[i]) || bytes[i] == '-' || bytes[i] == '.')
            into[length++] = (char)bytes[i];
        else
            length += (size_t)sprintf(into + length, "%%%02X", bytes[i]);
    into[length] = '\0';
}
