/* CRC-32C (Castagnoli), as in RFC 3720 appendix B.4: crc32c(0, "123456789", 9) == 0xe3069283. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Continues `crc` (0 to begin) over the bytes. */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t length);
