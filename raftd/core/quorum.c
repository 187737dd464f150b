#include "quorum.h"

#include <assert.h>

uint64_t quorum_index(uint64_t *reached, uint32_t voters)
{
    assert(voters > 0);
    for (uint32_t i = 1; i < voters; i++) {
        uint64_t value = reached[i];
        uint32_t j = i;
        for (; j > 0 && reached[j - 1] < value; j--)
            reached[j] = reached[j - 1];
        reached[j] = value;
    }
    return reached[quorum_of(voters) - 1];
}
