#include "members.h"

void members_on_reply(struct edge_call *call, enum edge_end end, struct wire_reader *body)
{
    (void)call, (void)end, (void)body;
}
