#include "entropy.h"

#include <stdlib.h>
#include <sys/random.h>

uint64_t entropy_number(void)
{
    uint64_t number = 0;
    while (number == 0)
        if (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number))
            abort(); /* 8 bytes are never short once the kernel has started */
    return number;
}
