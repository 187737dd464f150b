/* Intel's ISA-L computes CRC-32C with the CPU's instruction where there is one; it leaves the
 * initial and final inversion to its caller. */
#include "crc32c.h"

#include <isa-l/crc.h>
#include <limits.h>

uint32_t crc32c(uint32_t crc, const void *bytes, size_t length)
{
    unsigned char *at =
        (unsigned char *)(uintptr_t)bytes; /* ISA-L reads only, but says otherwise */
    uint32_t state = ~crc;
    while (length > 0) {
        int part = length > INT_MAX ? INT_MAX : (int)length;
        state = crc32_iscsi(at, part, state);
        at += part;
        length -= (size_t)part;
    }
    return ~state;
}
