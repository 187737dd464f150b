/* Maps of files that outlive their unmapping (linked with --wrap=mmap64,--wrap=munmap): the pager
 * maps the same file for each crash state, and page tables are most of what that costs. A map is
 * shared with its file, so a state written to the file is what the next open sees. Owner:
 * tests/crash. */
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define MAPPINGS 8u

struct mapping {
    void *address; /* NULL: none */
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

static struct mapping *mapping_find(const struct stat *status, size_t length, int protection)
{
    for (struct mapping *mapping = mappings; mapping < mappings + MAPPINGS; mapping++)
        if (mapping->address && mapping->inode == status->st_ino &&
            mapping->device == status->st_dev && mapping->length == length &&
            mapping->protection == protection)
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
    struct stat status;
    if (address || fd < 0 || offset || !(flags & MAP_SHARED) || fstat(fd, &status))
        return __real_mmap64(address, length, protection, flags, fd, offset);
    struct mapping *mapping = mapping_find(&status, length, protection);
    if (!mapping) {
        void *made = __real_mmap64(address, length, protection, flags, fd, offset);
        mapping = made == MAP_FAILED ? NULL : mapping_unused();
        if (!mapping)
            return made;
        *mapping = (struct mapping){made, length, status.st_dev, status.st_ino, protection, 0};
    }
    mapping->users++;
    return mapping->address;
}

int __wrap_munmap(void *address, size_t length)
{
    for (struct mapping *mapping = mappings; mapping < mappings + MAPPINGS; mapping++)
        if (mapping->address == address && mapping->users) {
            mapping->users--;
            return 0;
        }
    return __real_munmap(address, length);
}
