#include "url.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

void url_append_encoded(struct buffer *into, const char *bytes, size_t length)
{
    static const char digits[] = "0123456789ABCDEF";
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)bytes[i];
        char coded[3] = {'%', digits[byte >> 4], digits[byte & 15]};
        bool is_plain = byte && strchr(plain, byte);
        buffer_append(into, is_plain ? &bytes[i] : coded, is_plain ? 1 : 3);
    }
}

static bool url_is_http(CURLU *url)
{
    char *scheme = NULL;
    bool is_http = !curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) &&
                   (!strcmp(scheme, "http") || !strcmp(scheme, "https"));
    curl_free(scheme);
    return is_http;
}

/* The URL's text, if it has no more than scheme, host, port and path. */
static int url_text(CURLU *url, bool allow_query, char *into, size_t into_bytes)
{
    char *text = NULL, *query = NULL;
    int code = -EINVAL;
    if (url_is_http(url) && !curl_url_get(url, CURLUPART_URL, &text, 0) &&
        strlen(text) < into_bytes &&
        (allow_query || curl_url_get(url, CURLUPART_QUERY, &query, 0) == CURLUE_NO_QUERY)) {
        strcpy(into, text);
        code = 0;
    }
    curl_free(text);
    curl_free(query);
    return code;
}

static int url_parse_server(const char *text, char into[LIMIT_URL_BYTES_MAX])
{
    char whole[LIMIT_URL_BYTES_MAX + 32];
    const char *scheme = strstr(text, "://") ? "" : "http://";
    const char *host = text[0] == ':' ? "127.0.0.1" : "";
    if (!text[0] || strlen(text) >= LIMIT_URL_BYTES_MAX)
        return -EINVAL;
    snprintf(whole, sizeof(whole), "%s%s%s", scheme, host, text);
    CURLU *url = curl_url();
    int code = -EINVAL;
    if (url && !curl_url_set(url, CURLUPART_URL, whole, 0))
        code = url_text(url, false, into, LIMIT_URL_BYTES_MAX);
    curl_url_cleanup(url);
    for (size_t end = code ? 0 : strlen(into); end > 0 && into[end - 1] == '/'; end--)
        into[end - 1] = '\0';
    return code;
}

int url_parse_servers(const char *text, struct url_servers *ret_servers, struct error *error)
{
    struct url_servers servers = {.count = 0};
    for (;;) {
        char one[LIMIT_URL_BYTES_MAX];
        size_t length = strcspn(text, ",");
        if (servers.count == REPL_SERVERS_MAX)
            return error_set(error, -EINVAL, "want at most %u servers", REPL_SERVERS_MAX);
        if (length >= sizeof(one))
            return error_set(error, -EINVAL, "want URLs of at most %zu bytes", sizeof(one) - 1);
        memcpy(one, text, length);
        one[length] = '\0';
        if (url_parse_server(one, servers.urls[servers.count]))
            return error_set(error, -EINVAL,
                             "bad server \"%s\": want http://host:port, host:port or :port", one);
        servers.count++;
        if (!text[length])
            break;
        text += length + 1;
    }
    *ret_servers = servers;
    return 0;
}

int url_resolve(const char *base, const char *location, char into[REPL_URL_BYTES_MAX])
{
    CURLU *url = curl_url();
    int code = -EINVAL;
    if (url && !curl_url_set(url, CURLUPART_URL, base, 0) &&
        !curl_url_set(url, CURLUPART_URL, location, 0))
        code = url_text(url, true, into, REPL_URL_BYTES_MAX);
    curl_url_cleanup(url);
    return code;
}
