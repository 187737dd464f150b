/* Maps that outlive their unmapping (linked with --wrap=mmap64,--wrap=munmap): the pager maps the
 * same file for each crash state, and page tables are most of what that costs. A map is shared with
 * its file, so a state written to the file is what the next open sees. Large anonymous maps are
 * used again too, zeroed as far as a test can have written to them. Owner: tests/crash. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define MAPPINGS 16u
#define LARGE_BYTES (16u << 20)
/* Arrays by page number, eight bytes each at most: a file of 32 MiB. More is not made here. */
#define WRITTEN_BYTES_MAX (64u << 10)

struct mapping {
    void *address; /* NULL: none */
    bool anonymous;
    size_t length;
    dev_t device;
    ino_t inode;
    int protection;
    unsigned users;
};

static struct mapping mappings[MAPPINGS];
static unsigned next_victim;

void *__real_mmap64(void *address, size_t length, int protection, int flags, int fd, off_t offset);
int __real_munmap(void *address, size_t length);
void *__wrap_mmap64(void *address, size_t length, int protection, int flags, int fd, off_t offset);
int __wrap_munmap(void *address, size_t length);

static struct mapping *mapping_find(const struct mapping *wanted)
{
    for (struct mapping *mapping = mappings; mapping < mappings + MAPPINGS; mapping++)
        if (mapping->address && mapping->length == wanted->length &&
            mapping->protection == wanted->protection && mapping->anonymous == wanted->anonymous &&
            (wanted->anonymous
                 ? !mapping->users
                 : mapping->inode == wanted->inode && mapping->device == wanted->device))
            return mapping;
    return NULL;
}

static struct mapping *mapping_unused(void)
{
    for (unsigned i = 0; i < MAPPINGS; i++) {
        struct mapping *mapping = &mappings[next_victim++ % MAPPINGS];
        if (mapping->users)
            continue;
        if (mapping->address)
            (void)__real_munmap(mapping->address, mapping->length);
        mapping->address = NULL;
        return mapping;
    }
    return NULL;
}

void *__wrap_mmap64(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    struct stat status = {0};
    struct mapping wanted = {
        .length = length, .protection = protection, .anonymous = flags & MAP_ANONYMOUS};
    bool file = (flags & MAP_SHARED) && !wanted.anonymous && !offset && !fstat(fd, &status);
    if (address || length < LARGE_BYTES || !(file || wanted.anonymous))
        return __real_mmap64(address, length, protection, flags, fd, offset);
    wanted.device = status.st_dev;
    wanted.inode = status.st_ino;
    struct mapping *mapping = mapping_find(&wanted);
    if (!mapping) {
        wanted.address = __real_mmap64(address, length, protection, flags, fd, offset);
        mapping = wanted.address == MAP_FAILED ? NULL : mapping_unused();
        if (!mapping)
            return wanted.address;
        *mapping = wanted;
    }
    mapping->users++;
    return mapping->address;
}

int __wrap_munmap(void *address, size_t length)
{
    for (struct mapping *mapping = mappings; mapping < mappings + MAPPINGS; mapping++)
        if (mapping->address == address && mapping->users) {
            mapping->users--;
            if (mapping->anonymous)
                memset(address, 0, WRITTEN_BYTES_MAX);
            return 0;
        }
    return __real_munmap(address, length);
}
