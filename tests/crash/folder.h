/* Folders of a test in memory (/dev/shm, else TMPDIR or /tmp). Owner: tests/crash. What goes wrong
 * here ends the test. */
#pragma once

#define FOLDER_PATH_BYTES 256u

/* Makes the folder all others are in, and removes it. */
void folder_begin(void);
void folder_end(void);
/* The path of a folder of this kind and number. */
void folder_name(char path[FOLDER_PATH_BYTES], const char *kind, unsigned number);
/* Empty, with an empty raft/ in it if it is `live`. */
void folder_make(const char *path);
void folder_remove(const char *path);
/* Copies the files here, and those in raft/, into a new folder. */
void folder_copy_here(const char *path);
void folder_enter(const char *path, char ret_here[FOLDER_PATH_BYTES]);
void folder_leave(const char *here);

/* From now on whatever changes a file fails with -EROFS. Begin returns 0; end returns how many
 * calls tried. */
unsigned long folder_guard_begin(void);
unsigned long folder_guard_end(void);
