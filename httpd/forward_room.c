#include "forward_private.h"

#include "httpd_limits.h"

bool forwards_are_crowded(const struct forwards *forwards)
{
    return forwards->open_count > HTTPD_FORWARD_CONNECTIONS_MAX;
}

static bool waits_for_client(const struct forward *forward)
{
    return forward->is_passed_on ? forward->out.text.length > 0 : forward->upload.leader_waits;
}

static struct forward *find_slowest(struct forwards *forwards)
{
    struct forward *forward, *slowest = NULL;
    TAILQ_FOREACH(forward, &forwards->all, link)
    {
        if (forward->curl && waits_for_client(forward) &&
            (!slowest || forward->piece_ms < slowest->piece_ms))
            slowest = forward;
    }
    return slowest;
}

static void forwards_look_again(void *context)
{
    forwards_make_room(context);
}

void forwards_make_room(struct forwards *forwards)
{
    struct loop *loop = forwards->httpd->loop;
    struct forward *slowest;
    while (forwards_are_crowded(forwards) && (slowest = find_slowest(forwards)) &&
           slowest->piece_ms + HTTPD_FORWARD_SLOW_MS_MIN <= loop_now_ms(loop)) {
        slowest->is_cut = true;
        forward_break(slowest, "its client was too slow while others waited");
    }
    if (forwards_are_crowded(forwards))
        loop_timer_set(loop, &forwards->room_timer, loop_now_ms(loop) + HTTPD_FORWARD_LOOK_MS,
                       forwards_look_again, forwards);
}
