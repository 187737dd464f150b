#include "stream.h"

#include "server.h"

#include <string.h>

ssize_t stream_read(void *context, uint64_t at, char *into, size_t into_bytes)
{
    struct stream *stream = context;
    (void)at;
    if (stream->text_at == stream->text.length) {
        stream->text.length = stream->text_at = 0;
        switch (stream->render(stream)) {
        case STREAM_TEXT:
            break;
        case STREAM_WAIT:
            stream->suspended = true;
            MHD_suspend_connection(stream->mhd);
            return 0;
        case STREAM_END:
            return MHD_CONTENT_READER_END_OF_STREAM;
        case STREAM_BROKEN:
            return MHD_CONTENT_READER_END_WITH_ERROR;
        }
    }
    server_wake(stream->httpd->server); /* there may be more to write */
    size_t length = stream->text.length - stream->text_at;
    length = length < into_bytes ? length : into_bytes;
    memcpy(into, stream->text.bytes + stream->text_at, length);
    stream->text_at += length;
    return (ssize_t)length;
}

void stream_wake(struct stream *stream)
{
    if (!stream->suspended)
        return;
    stream->suspended = false;
    MHD_resume_connection(stream->mhd);
    server_wake(stream->httpd->server);
}
