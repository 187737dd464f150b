/* A stand with a caller that is httpd, one call after the other. Each program uses some of it. */
#pragma once

#include "stand.h"

struct desk {
    struct stand stand;
    struct bus_client *client;
    struct answer answer; /* of the last call */
};

UNUSED static struct store *desk_store(struct desk *desk)
{
    return desk->stand.storaged.store;
}

UNUSED static void desk_open(struct desk *desk)
{
    *desk = (struct desk){.client = NULL};
    enter_folder();
    stand_open(&desk->stand);
    desk->client = stand_dial(&desk->stand, PROTO_ROLE_HTTPD);
}

UNUSED static void desk_close(struct desk *desk)
{
    answer_free(&desk->answer);
    bus_client_free(desk->client);
    stand_close(&desk->stand);
    check_clean();
    leave_folder();
}

/* Sends it; the answer is there once desk->answer.is_there. */
UNUSED static void desk_ask(struct desk *desk, uint16_t type, const struct buffer *body)
{
    struct buffer copy = {0};
    answer_free(&desk->answer);
    buffer_append(&copy, body->bytes, body->length);
    stand_call(&desk->stand, desk->client, type, &copy, &desk->answer);
}

/* Its answer, of this type. */
UNUSED static struct wire_reader desk_call(struct desk *desk, uint16_t type,
                                           const struct buffer *body, uint16_t reply_type)
{
    desk_ask(desk, type, body);
    STAND_UNTIL(&desk->stand, desk->answer.is_there);
    return answer_body(&desk->answer, reply_type);
}
