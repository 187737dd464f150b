/* For a copy of the pager that only a fuzz target links: every page's checksum is right. Owner:
 * tests/fuzz. */
#pragma once

#include "page.h"

#define page_is_sealed(page, pages) ((void)(page), (void)(pages), true)
