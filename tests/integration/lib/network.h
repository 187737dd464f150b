/* A network of a test's own, in which each node is a machine: a network namespace with an address,
 * on a bridge with the test. Packets can be lost there as on a cable, without anybody being told.
 *
 * Everything ends with the test's process; the machine's own network is never touched. Needs rights
 * to make namespaces (root, or a kernel that lets users) and `ip`. */
#pragma once

#include <stdbool.h>

#define NETWORK_MACHINES_MAX 8u

/* Moves the calling process, which must have no other thread yet, into a network of its own with
 * nothing but a loopback device. False, with the reason on stderr: it stays where it is. */
bool network_enter(void);
/* Besides, makes the bridge. Machine 0 is the test itself. */
bool network_open(void);

/* Makes machine `number` (from 1): its address in `ret_host`, 16 bytes; returns the descriptor of
 * its namespace. */
int network_add(unsigned number, char ret_host[16]);

/* What `from` sends to `to` is lost from now on, or arrives again. */
void network_cut(unsigned from, unsigned to);
void network_heal(unsigned from, unsigned to);
/* The machine's cable: nothing goes in or out. */
void network_unplug(unsigned number);
void network_plug(unsigned number);
