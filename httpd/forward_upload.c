#include "forward_private.h"

#include "httpd_limits.h"

#include <string.h>

bool forward_upload_is_open(const struct forward *forward)
{
    const struct upload *upload = &forward->upload;
    return upload->left > 0 || upload->bytes_at < upload->bytes.length;
}

bool forward_take_body(struct forward *forward, const char *bytes, size_t length)
{
    struct upload *upload = &forward->upload;
    buffer_append(&upload->bytes, bytes, length);
    upload->left -= length;
    upload->piece_bytes += length;
    if (upload->piece_bytes >= HTTPD_FORWARD_HELD_BYTES) {
        upload->piece_bytes = 0;
        forward->piece_ms = loop_now_ms(forward->forwards->httpd->loop);
    }
    if (upload->leader_waits) {
        upload->leader_waits = false;
        forward_expect_more(forward);
        (void)curl_easy_pause(forward->curl, CURLPAUSE_CONT); /* fails: so does the transfer */
    }
    return upload->left == 0 || upload->bytes.length < HTTPD_FORWARD_HELD_BYTES;
}

void forward_end_body(struct forward *forward)
{
    if (!forward_upload_is_open(forward))
        forward_set_timer(forward, forward->wait_ms);
}

size_t forward_on_read(char *into, size_t one, size_t length, void *context)
{
    struct forward *forward = context;
    struct upload *upload = &forward->upload;
    size_t left = upload->bytes.length - upload->bytes_at;
    (void)one; /* always 1 */
    if (left == 0 && upload->left > 0) {
        upload->leader_waits = true; /* the client's deadline is the one that counts now */
        loop_timer_cancel(forward->forwards->httpd->loop, &forward->timer);
        return CURL_READFUNC_PAUSE;
    }
    length = length < left ? length : left;
    memcpy(into, upload->bytes.bytes + upload->bytes_at, length);
    upload->bytes_at += length;
    if (length < left || left == 0)
        return length;
    upload->bytes.length = upload->bytes_at = 0;
    upload->piece_bytes = 0; /* what the leader took its time for is not the client's */
    forward->piece_ms = loop_now_ms(forward->forwards->httpd->loop);
    forward_set_timer(forward, upload->left ? HTTPD_FORWARD_SILENCE_MS_MAX : forward->wait_ms);
    request_resume(forward->request);
    return length;
}
