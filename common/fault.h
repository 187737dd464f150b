/* Fault points: named places where a test can make the file layer fail, stall or kill the process.
 * Compiled in with -Dfault_points=true only; the environment says what happens:
 *
 *   CONURE_FAULT="log.sync:3=EIO,tree.meta.write:1=kill,log.sync:5+=ENOSPC,log.sync:2=delay:60000"
 *
 * point:N fires on the N-th pass (from 1), point:N+ on that and all later ones. Actions: an errno
 * name (EIO, ENOSPC, EINTR, EAGAIN, ENOMEM), `kill` (SIGKILL to itself), `delay:MS`. */
#pragma once

#ifdef CONURE_FAULT_POINTS
/* 0, or the negative errno to fail with. Threads may call it. */
int fault_check(const char *point);
#else
static inline int fault_check(const char *point)
{
    (void)point;
    return 0;
}
#endif
