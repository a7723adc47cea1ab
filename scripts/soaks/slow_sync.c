/* A disk whose flushes take SLOW_SYNC_MS milliseconds longer, for a library to be preloaded. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/types.h>
#include <time.h>

static void wait_a_while(void) {
    const char *text = getenv("SLOW_SYNC_MS");
    long ms = text ? atol(text) : 0;
    struct timespec span = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&span, 0);
}

#define SLOW(type, name, parameters, arguments)                      \
    type name parameters {                                           \
        static type(*real) parameters;                               \
        if (!real) real = (type(*) parameters)dlsym(RTLD_NEXT, #name); \
        wait_a_while();                                              \
        return real arguments;                                       \
    }

SLOW(int, fsync, (int fd), (fd))
SLOW(int, fdatasync, (int fd), (fd))
SLOW(int, syncfs, (int fd), (fd))
SLOW(int, sync_file_range, (int fd, off64_t offset, off64_t count, unsigned flags),
     (fd, offset, count, flags))
