/* Bounds of the launcher: value, reason, and what happens at it. Its own; common/limits.h holds the
 * node's. */
#pragma once

/* Restart delays: doubling from MIN, less up to a quarter at random. */
#define LAUNCH_BACKOFF_MS_MIN 100u   /* a crash of a sound daemon is over before clients give up */
#define LAUNCH_BACKOFF_MS_MAX 30000u /* a daemon that does not get ready: a log line, no more */
#define LAUNCH_BACKOFF_READY_MS_MAX 1000u /* one that got ready did serve: back within a second */
#define LAUNCH_BACKOFF_RESET_MS 10000u    /* ready for so long: the next crash starts from MIN */

/* SIGTERM to SIGKILL, with a log line. storaged writes its last checkpoint. */
#define LAUNCH_STOP_MS 10000u
#define LAUNCH_STOP_STORAGED_MS 60000u
/* Not ready by then: a warning, no more: a long replay is work. */
#define LAUNCH_SLOW_MS 60000u
#define LAUNCH_SLOW_STORAGED_MS 300000u

/* A line of a daemon; longer ones are cut into pieces. With prefix and colours still one atomic
 * write to a pipe (PIPE_BUF, 4096). */
#define LAUNCH_LINE_BYTES_MAX 3072u
/* Read from one daemon's pipe per loop turn, before the others get theirs: a pipe's capacity. */
#define LAUNCH_LOG_BYTES_PER_TURN (64u << 10)

/* The control socket. Further connections are closed at once. */
#define LAUNCH_CONTROL_CONNECTIONS_MAX 16u
#define LAUNCH_REQUEST_BYTES_MAX 128u /* a verb and a daemon; longer: refused */
#define LAUNCH_REQUEST_MS_MAX 5000u   /* a caller who sends no line by then is closed */
#define LAUNCH_COMMAND_MS_MAX 420000u /* a slow stop and a slow start; then "still ..." */
#define LAUNCH_REPLY_BYTES_MAX 16384u /* three daemons' status is under 2 KiB */
#define LAUNCH_ANSWER_MS_MAX (LAUNCH_COMMAND_MS_MAX + 5000u) /* the client's patience */

#define LAUNCH_NOTIFY_BYTES_MAX 4096u /* a notification; the rest of a longer one is lost */
#define LAUNCH_LOCK_WAIT_MS 1000u     /* another launcher that is just leaving the data directory */
/* The socket of an ended httpd may outlive its lock for an instant. */
#define LAUNCH_BIND_RETRY_MS 200u

_Static_assert(LAUNCH_COMMAND_MS_MAX > LAUNCH_STOP_STORAGED_MS + LAUNCH_SLOW_STORAGED_MS,
               "a restart that still makes progress is not given up");
