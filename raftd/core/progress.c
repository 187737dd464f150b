#include "progress.h"

void progress_reset(struct progress *progress, uint64_t last_index)
{
    *progress = (struct progress){
        .member = progress->member,
        .state = PROGRESS_PROBE,
        .next = last_index + 1,
    };
}

void progress_probe(struct progress *progress)
{
    progress->state = PROGRESS_PROBE;
    progress->next = progress->match + 1;
    progress->probe_is_out = false;
    progress->sent_count = 0;
    progress->stall_ms = 0;
    progress->commit_sent = 0;
}

bool progress_may_send(const struct progress *progress)
{
    return progress->state == PROGRESS_PROBE ? !progress->probe_is_out
                                             : progress->sent_count < PROGRESS_WINDOW;
}

void progress_on_sent(struct progress *progress, uint64_t last_index, uint32_t count)
{
    if (progress->state == PROGRESS_PROBE) {
        progress->probe_is_out = true;
        progress->stall_ms = 0;
    } else if (count) {
        if (!progress->sent_count)
            progress->stall_ms = 0;
        progress->next = last_index + 1;
        progress
            ->sent_last_index[(progress->sent_first + progress->sent_count++) % PROGRESS_WINDOW] =
            last_index;
    }
}

bool progress_on_match(struct progress *progress, uint64_t index)
{
    bool is_news = index > progress->match;
    if (is_news) {
        progress->match = index;
        progress->stall_ms = 0;
    }
    if (progress->next <= progress->match)
        progress->next = progress->match + 1;
    if (progress->state == PROGRESS_PROBE && (is_news || progress->probe_is_out)) {
        progress->state = PROGRESS_REPLICATE;
        progress->next = progress->match + 1;
        progress->sent_count = 0;
    }
    while (progress->sent_count &&
           progress->sent_last_index[progress->sent_first] <= progress->match) {
        progress->sent_first = (progress->sent_first + 1) % PROGRESS_WINDOW;
        progress->sent_count--;
    }
    return is_news;
}

bool progress_on_reject(struct progress *progress, uint64_t rejected, uint64_t index)
{
    if (rejected <= progress->match)
        return false;
    if (progress->state == PROGRESS_REPLICATE) {
        progress_probe(progress);
        return true;
    }
    if (rejected != progress->next - 1)
        return false;
    uint64_t next = (index < rejected ? index : rejected - 1) + 1;
    progress->next = next > progress->match ? next : progress->match + 1;
    progress->probe_is_out = false;
    return true;
}

void progress_on_tick(struct progress *progress, uint64_t elapsed_ms, uint64_t stall_ms_max)
{
    progress->silence_ms += elapsed_ms;
    bool waits =
        progress->state == PROGRESS_PROBE ? progress->probe_is_out : progress->sent_count > 0;
    progress->stall_ms = waits ? progress->stall_ms + elapsed_ms : 0;
    if (progress->stall_ms < stall_ms_max)
        return;
    uint64_t next = progress->next;
    bool probing = progress->state == PROGRESS_PROBE;
    progress_probe(progress);
    if (probing)
        progress->next = next;
}
