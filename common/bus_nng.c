#include "bus_nng.h"

#include "limits.h"

#include <errno.h>

int bus_nng_errno(int nng_code)
{
    static const struct {
        int nng_code, code;
    } table[] = {
        {0, 0},
        {NNG_ENOMEM, -ENOMEM},
        {NNG_EAGAIN, -EAGAIN},
        {NNG_EADDRINUSE, -EADDRINUSE},
        {NNG_EADDRINVAL, -EADDRNOTAVAIL},
        {NNG_EPERM, -EPERM},
        {NNG_ENOFILES, -EMFILE},
        {NNG_ENOSPC, -ENOSPC},
        {NNG_ECLOSED, -EBADF},
    };
    for (unsigned i = 0; i < sizeof(table) / sizeof(*table); i++)
        if (table[i].nng_code == nng_code)
            return table[i].code;
    return nng_code & NNG_ESYSERR ? -(nng_code & ~NNG_ESYSERR) : -EIO;
}

int bus_nng_configure(nng_socket socket, struct error *error)
{
    size_t bytes_max = LIMIT_FRAME_BODY_BYTES_MAX + FRAME_HEADER_BYTES + sizeof(struct bus_route);
    int code = nng_socket_set_size(socket, NNG_OPT_RECVMAXSZ, bytes_max);
    if (!code)
        code = nng_socket_set_int(socket, NNG_OPT_SENDBUF, LIMIT_BUS_QUEUE_FRAMES);
    if (!code)
        code = nng_socket_set_int(socket, NNG_OPT_RECVBUF, LIMIT_BUS_QUEUE_FRAMES);
    if (code)
        return error_set(error, bus_nng_errno(code), "cannot configure a bus socket: %s",
                         nng_strerror(code));
    return 0;
}

static int bus_nng_fill(nng_msg *message, const uint32_t *words, uint32_t words_count,
                        const struct frame *frame)
{
    uint8_t header[FRAME_HEADER_BYTES];
    frame_encode_header(frame, header);
    int code = nng_msg_append(message, header, sizeof(header));
    if (!code && frame->body_bytes)
        code = nng_msg_append(message, frame->body, frame->body_bytes);
    for (uint32_t i = 0; !code && i < words_count; i++)
        code = nng_msg_header_append_u32(message, words[i]);
    return code;
}

int bus_nng_send(nng_socket socket, const uint32_t *words, uint32_t words_count,
                 struct frame *frame)
{
    nng_msg *message;
    int code = nng_msg_alloc(&message, 0);
    if (code)
        return bus_nng_errno(code);
    code = nng_msg_reserve(message, FRAME_HEADER_BYTES + frame->body_bytes);
    if (!code)
        code = bus_nng_fill(message, words, words_count, frame);
    if (!code)
        code = nng_sendmsg(socket, message, NNG_FLAG_NONBLOCK);
    if (code)
        nng_msg_free(message);
    return bus_nng_errno(code);
}

nng_msg *bus_nng_receive(nng_socket socket)
{
    nng_msg *message;
    return nng_recvmsg(socket, &message, NNG_FLAG_NONBLOCK) == 0 ? message : NULL;
}
