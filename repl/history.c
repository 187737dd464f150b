#include "history.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

void history_path(const char *state_home, const char *home, char *into, size_t into_bytes)
{
    int length = -1;
    if (state_home && state_home[0] == '/') /* a relative one is to be ignored */
        length = snprintf(into, into_bytes, "%s/conure/history", state_home);
    else if (home && home[0] == '/')
        length = snprintf(into, into_bytes, "%s/.local/state/conure/history", home);
    if (length < 0 || (size_t)length >= into_bytes)
        into[0] = '\0';
}

static void make_parents(const char *path)
{
    char part[LIMIT_PATH_BYTES_MAX];
    for (size_t i = 1; path[i]; i++)
        if (path[i] == '/') {
            memcpy(part, path, i);
            part[i] = '\0';
            (void)mkdir(part, 0700);
        }
}

void history_open(struct history_file *file)
{
    HistEvent event;
    history_path(getenv("XDG_STATE_HOME"), getenv("HOME"), file->path, sizeof(file->path));
    file->history = history_init();
    if (!file->history)
        return;
    (void)history(file->history, &event, H_SETSIZE, REPL_HISTORY_LINES_MAX);
    (void)history(file->history, &event, H_SETUNIQUE, 1);
    if (file->path[0])
        (void)history(file->history, &event, H_LOAD, file->path);
}

static void history_save(struct history_file *file)
{
    char new_path[LIMIT_PATH_BYTES_MAX + 8];
    HistEvent event;
    snprintf(new_path, sizeof(new_path), "%s.new", file->path);
    make_parents(file->path);
    mode_t mask = umask(0177);
    if (history(file->history, &event, H_SAVE, new_path) >= 0)
        (void)!rename(new_path, file->path);
    (void)umask(mask);
}

void history_add(struct history_file *file, const char *line)
{
    HistEvent event;
    if (!file->history || !line[0] || strlen(line) > REPL_HISTORY_LINE_BYTES_MAX)
        return;
    (void)history(file->history, &event, H_ENTER, line);
    if (file->path[0])
        history_save(file);
}

void history_close(struct history_file *file)
{
    if (file->history)
        history_end(file->history);
    file->history = NULL;
}
