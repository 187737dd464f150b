#include "outcome.h"

#include <stddef.h>

static const struct {
    long status;
    int exit_code;
    bool next; /* another node may do better, and this one promises it did nothing */
} statuses[] =
    {
        {404, EXIT_NOT_FOUND, false},
        {409, EXIT_CODE_FAILURE, false}, /* refused, with a reason (that of a node which is not the
                                            leader is followed: client.c) */
        {412, EXIT_PRECONDITION, false},
        {429, EXIT_UNAVAILABLE, true},
        {503, EXIT_UNAVAILABLE, true},
        {504, EXIT_UNAVAILABLE, false}, /* a write: unknown; a read: it had its time */
};

#define STATUSES_COUNT (sizeof(statuses) / sizeof(*statuses))

enum outcome_verdict outcome_judge(enum outcome outcome, long status, bool is_write)
{
    switch (outcome) {
    case OUTCOME_NOT_SENT:
        return VERDICT_NEXT;
    case OUTCOME_BROKEN:
        return is_write ? VERDICT_UNKNOWN : VERDICT_NEXT;
    case OUTCOME_INTERRUPTED:
    case OUTCOME_TOO_LARGE:
        return is_write ? VERDICT_UNKNOWN : VERDICT_DONE;
    case OUTCOME_ANSWERED:
        break;
    }
    for (size_t i = 0; i < STATUSES_COUNT; i++)
        if (statuses[i].status == status && statuses[i].next)
            return VERDICT_NEXT;
    return VERDICT_DONE;
}

int outcome_exit_code(long status)
{
    if (status >= 200 && status < 300)
        return EXIT_CODE_OK;
    for (size_t i = 0; i < STATUSES_COUNT; i++)
        if (statuses[i].status == status)
            return statuses[i].exit_code;
    return EXIT_CODE_FAILURE;
}

bool outcome_is_unknown(long status, bool is_write)
{
    return is_write && status >= 500 && status != 503;
}
