/* What a process inherits from the one that started it, in systemd's words: $NOTIFY_SOCKET to say
 * it is ready (sd_notify(3)), and $LISTEN_PID/$LISTEN_FDS for sockets from descriptor 3
 * (sd_listen_fds(3)). */
#pragma once

/* Sends "READY=1" (or other lines) to $NOTIFY_SOCKET. Without the variable nothing happens. A
 * relative path is taken from the data directory. Never blocks; failures are ignored: readiness is
 * a courtesy. */
void inherit_notify(const char *lines);

/* The inherited listening socket, or -1. Closed on exec; the environment variables are removed. */
int inherit_listen_fd(void);
