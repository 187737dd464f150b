/* Majorities. Part of the pure core: no state, no I/O. */
#pragma once

#include <stdint.h>

/* Votes or acknowledgements it takes among `voters` (at least 1): Raft paper, section 5.2. */
static inline uint32_t quorum_of(uint32_t voters)
{
    return voters / 2 + 1;
}

/* The largest index that a majority of the voters has reached: sorts `reached` (one per voter) in
 * place. Section 5.3. */
uint64_t quorum_index(uint64_t *reached, uint32_t voters);
