/* What a process takes, as /proc tells it. */
#pragma once

#include <sys/types.h>

/* "VmRSS", "VmHWM" (its peak) or "RssAnon", in KiB; 0: there is no such process, or figure. */
unsigned usage_kib(pid_t pid, const char *figure);
/* The peak begins anew. */
void usage_forget_peak(pid_t pid);
/* Time on a processor, in ticks of sysconf(_SC_CLK_TCK). Fails the test if it has ended. */
unsigned long usage_cpu_ticks(pid_t pid);
/* Open descriptors. Fails the test if it has ended. */
unsigned usage_descriptors(pid_t pid);
