/* What happens before main: see stdout_refuses in lib/edge/pipe.rs. */
#include <errno.h>
#include <fcntl.h>

/* Rust's library puts /dev/null in the place of a standard stream that is closed, so what is written
 * to a closed standard output would be lost in silence. This comes first, and puts /dev/null there
 * so that it cannot be read as input, and not be written as output. glibc does the same for
 * privileged programs (csu/check_fds.c). */
__attribute__((constructor)) static void keep_closed_streams_closed(void)
{
    static const int unusable[] = { O_WRONLY, O_RDONLY };
    int fd;

    for (fd = 0; fd < 2; fd++)
        if (fcntl(fd, F_GETFD) == -1 && errno == EBADF)
            /* The lowest free descriptor is this one. */
            (void)!open("/dev/null", unusable[fd]);
}
