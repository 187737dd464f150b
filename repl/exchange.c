/* A connection that is used again may turn out to be closed by the server; libcurl then silently
 * sends the request once more on a new one. For a write that would be a second try after an unknown
 * outcome, so each write gets a connection of its own. */
#include "exchange.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

struct exchange {
    CURL *curl;
    struct curl_slist *headers;
    const volatile sig_atomic_t *interrupted;
    const struct exchange_request *request; /* being answered, into: */
    struct buffer *body;
    bool too_large, not_wanted;
    char reason[CURL_ERROR_SIZE];
};

static size_t exchange_on_body(char *bytes, size_t one, size_t length, void *context)
{
    struct exchange *exchange = context;
    long status = 0;
    (void)one; /* always 1 */
    (void)curl_easy_getinfo(exchange->curl, CURLINFO_RESPONSE_CODE, &status);
    if (exchange->request->take && status == 200) {
        exchange->not_wanted =
            length && !exchange->request->take(exchange->request->take_context, bytes, length);
        return exchange->not_wanted ? CURL_WRITEFUNC_ERROR : length;
    }
    if (exchange->body->length + length > REPL_ANSWER_BYTES_MAX) {
        exchange->too_large = true;
        return CURL_WRITEFUNC_ERROR;
    }
    buffer_append(exchange->body, bytes, length);
    return length;
}

static int exchange_on_progress(void *context, curl_off_t a, curl_off_t b, curl_off_t c,
                                curl_off_t d)
{
    const struct exchange *exchange = context;
    (void)a, (void)b, (void)c, (void)d;
    return exchange->interrupted && *exchange->interrupted;
}

/* What is the same for every request. */
static bool exchange_prepare(struct exchange *exchange)
{
    CURL *curl = exchange->curl;
    exchange->headers = curl_slist_append(NULL, "Expect:"); /* no pause before a large body */
    struct curl_slist *more =
        curl_slist_append(exchange->headers, "Content-Type: application/octet-stream");
    if (!exchange->headers || !more)
        return false;
    return !curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, exchange->reason) &&
           !curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) &&
           !curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https") &&
           !curl_easy_setopt(curl, CURLOPT_PROXY, "") && /* nodes are asked directly */
           !curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) &&
           !curl_easy_setopt(curl, CURLOPT_USERAGENT, "conure-repl/" CONURE_VERSION) &&
           !curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, exchange_on_body) &&
           !curl_easy_setopt(curl, CURLOPT_WRITEDATA, exchange) &&
           !curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, exchange_on_progress) &&
           !curl_easy_setopt(curl, CURLOPT_XFERINFODATA, exchange) &&
           !curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
}

struct exchange *exchange_new(const volatile sig_atomic_t *interrupted)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT))
        return NULL;
    struct exchange *exchange = memory_new_zeroed(1, sizeof(*exchange));
    exchange->interrupted = interrupted;
    exchange->curl = curl_easy_init();
    if (exchange->curl && exchange_prepare(exchange))
        return exchange;
    exchange_free(exchange);
    return NULL;
}

void exchange_free(struct exchange *exchange)
{
    if (!exchange)
        return;
    curl_easy_cleanup(exchange->curl);
    curl_slist_free_all(exchange->headers);
    free(exchange);
    curl_global_cleanup();
}

static CURLcode exchange_set_times(CURL *curl, const struct exchange_request *request)
{
    uint64_t connect_ms =
        request->timeout_ms < REPL_CONNECT_MS_MAX ? request->timeout_ms : REPL_CONNECT_MS_MAX;
    long whole_ms = request->take ? 0 : (long)request->timeout_ms;
    long silence_s = request->take ? (long)REPL_SILENCE_S_MAX : 0;
    CURLcode code = curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, whole_ms);
    if (!code)
        code = curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms);
    if (!code)
        code = curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, request->take ? 1L : 0L);
    if (!code)
        code = curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, silence_s);
    return code;
}

static CURLcode exchange_set(struct exchange *exchange, const struct exchange_request *request,
                             struct curl_slist *headers)
{
    CURL *curl = exchange->curl;
    CURLcode code = curl_easy_setopt(curl, CURLOPT_URL, request->url);
    if (!code)
        code = curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    if (!code && request->body) {
        code = curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_bytes);
        code = code ? code : curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body);
    } else if (!code) {
        code = curl_easy_setopt(curl, CURLOPT_HTTPGET, 1L);
    }
    if (!code)
        code = curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method);
    if (!code)
        code = exchange_set_times(curl, request);
    if (!code)
        code = curl_easy_setopt(curl, CURLOPT_FRESH_CONNECT, request->is_write ? 1L : 0L);
    if (!code)
        code = curl_easy_setopt(curl, CURLOPT_FORBID_REUSE, request->is_write ? 1L : 0L);
    return code;
}

static void copy_header(CURL *curl, const char *name, char *into, size_t into_bytes)
{
    struct curl_header *header;
    into[0] = '\0';
    if (curl_easy_header(curl, name, 0, CURLH_HEADER, -1, &header) == CURLHE_OK &&
        strlen(header->value) < into_bytes)
        strcpy(into, header->value);
}

static enum outcome exchange_outcome(const struct exchange *exchange, CURLcode code)
{
    long sent_bytes = 0;
    (void)curl_easy_getinfo(exchange->curl, CURLINFO_REQUEST_SIZE, &sent_bytes);
    if (code == CURLE_OK)
        return OUTCOME_ANSWERED;
    if (code == CURLE_ABORTED_BY_CALLBACK || exchange->not_wanted)
        return OUTCOME_INTERRUPTED;
    if (exchange->too_large)
        return OUTCOME_TOO_LARGE;
    return sent_bytes == 0 ? OUTCOME_NOT_SENT : OUTCOME_BROKEN;
}

/* "http://host:port" of the URL. */
static int server_length(const char *url)
{
    const char *host = strstr(url, "://");
    host = host ? host + 3 : url;
    return (int)(host - url + (long)strcspn(host, "/?"));
}

/* With the request's own header before those of all. */
static CURLcode exchange_perform(struct exchange *exchange, const struct exchange_request *request)
{
    struct curl_slist own = {.data = (char *)request->header, .next = exchange->headers};
    bool has_own = request->header && request->header[0];
    CURLcode code = exchange_set(exchange, request, has_own ? &own : exchange->headers);
    if (request->take)
        (void)request->take(request->take_context, "", 0);
    return code ? code : curl_easy_perform(exchange->curl);
}

enum outcome exchange_run(struct exchange *exchange, const struct exchange_request *request,
                          struct exchange_answer *answer, struct error *error)
{
    exchange->request = request;
    exchange->body = &answer->body;
    exchange->too_large = exchange->not_wanted = false;
    exchange->reason[0] = '\0';
    buffer_clear(&answer->body, 1u << 20);
    CURLcode code = exchange_perform(exchange, request);
    enum outcome outcome = exchange_outcome(exchange, code);
    if (outcome == OUTCOME_ANSWERED) {
        (void)curl_easy_getinfo(exchange->curl, CURLINFO_RESPONSE_CODE, &answer->status);
        copy_header(exchange->curl, "Location", answer->location, sizeof(answer->location));
        copy_header(exchange->curl, "X-Conure-Revision", answer->revision,
                    sizeof(answer->revision)); /* a delete has no ETag */
        return outcome;
    }
    const char *reason = exchange->reason[0] ? exchange->reason : curl_easy_strerror(code);
    if (outcome == OUTCOME_TOO_LARGE)
        reason = "the answer is too large";
    (void)error_set(error, 0, "%.*s: %s", server_length(request->url), request->url, reason);
    return outcome;
}
