/* Loaded into a daemon by the tests of the fault matrix (LD_PRELOAD): counts every point at which a kill could change what another party, or the
 * next process, sees, writes each down, and kills the process at the ENTRY of the one that was asked for, before anything of it has happened.
 *
 * Points: `fsync`, a call that brings a file to the disk; `send`, a call that hands bytes to an IP socket; `read`, a call that reads a file whose path
 * begins with COMMUN_POINTS_SOURCE. Counting begins when the file COMMUN_POINTS exists. It holds `record`, or a kind and a number: `send 12`. One line
 * for each point goes to the same name with `.trace` behind it.
 *
 * It counts over all threads, which strace's injection of signals does not, and kills between two calls, which a reader of another program's
 * output cannot. It sees what goes through the C library, as everything in the daemons does: Rust's std and SQLite both.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#if !defined(__LP64__)
#error "offsets of preadv are written for 64 bits"
#endif

enum { FSYNC, SEND, READ, KINDS };
static const char *const NAMES[KINDS] = {"fsync", "send", "read"};

enum { WAITING, ARMING, ARMED };
static atomic_int state = WAITING;
static atomic_long counted[KINDS];
static long kill_at[KINDS]; /* 0: never */
static int trace = -1;

/* Straight to the kernel: what this file does itself is no point. */
static void say(const char *line, size_t length) {
    if (syscall(SYS_write, trace, line, length) != (long)length) abort();
}

static int armed(void) {
    int now = atomic_load(&state);
    if (now == ARMED) return 1;
    const char *control = getenv("COMMUN_POINTS");
    if (now == ARMING || !control) return 0;
    int file = open(control, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    if (atomic_compare_exchange_strong(&state, &now, ARMING)) {
        char text[64] = {0}, kind[16] = {0}, path[4096];
        long number = 0;
        if (syscall(SYS_read, file, text, sizeof text - 1) <= 0) abort();
        sscanf(text, "%15s %ld", kind, &number);
        for (int at = 0; at < KINDS; at++)
            if (!strcmp(kind, NAMES[at])) kill_at[at] = number;
        snprintf(path, sizeof path, "%s.trace", control);
        trace = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (trace < 0) abort();
        atomic_store(&state, ARMED);
    }
    syscall(SYS_close, file);
    return atomic_load(&state) == ARMED;
}

static void path_of(int fd, char *path, size_t size) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, size - 1);
    path[length > 0 ? length : 0] = 0;
}

static void point(int kind, int fd) {
    int before = errno;
    long number = atomic_fetch_add(&counted[kind], 1) + 1;
    char path[4096], line[4200];
    path_of(fd, path, sizeof path);
    int length = snprintf(line, sizeof line, "%s %ld %s\n", NAMES[kind], number, path);
    say(line, (size_t)length);
    if (number == kill_at[kind]) {
        syscall(SYS_kill, getpid(), SIGKILL);
        for (;;) pause();
    }
    errno = before;
}

static void synced(int fd) {
    if (armed()) point(FSYNC, fd);
}

static void sent(int fd) {
    int before = errno, domain = 0;
    socklen_t size = sizeof domain;
    if (armed() && !getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) && (domain == AF_INET || domain == AF_INET6)) point(SEND, fd);
    errno = before;
}

static void source_read(int fd) {
    int before = errno;
    const char *source = getenv("COMMUN_POINTS_SOURCE");
    if (source && armed()) {
        char path[4096];
        path_of(fd, path, sizeof path);
        if (!strncmp(path, source, strlen(source))) point(READ, fd);
    }
    errno = before;
}

int fsync(int fd) { return synced(fd), (int)syscall(SYS_fsync, fd); }
int fdatasync(int fd) { return synced(fd), (int)syscall(SYS_fdatasync, fd); }
int syncfs(int fd) { return synced(fd), (int)syscall(SYS_syncfs, fd); }

ssize_t write(int fd, const void *from, size_t size) { return sent(fd), syscall(SYS_write, fd, from, size); }
ssize_t writev(int fd, const struct iovec *from, int count) { return sent(fd), syscall(SYS_writev, fd, from, count); }
ssize_t send(int fd, const void *from, size_t size, int flags) { return sent(fd), syscall(SYS_sendto, fd, from, size, flags, NULL, 0); }
ssize_t sendto(int fd, const void *from, size_t size, int flags, const struct sockaddr *to, socklen_t length) {
    return sent(fd), syscall(SYS_sendto, fd, from, size, flags, to, length);
}
ssize_t sendmsg(int fd, const struct msghdr *message, int flags) { return sent(fd), syscall(SYS_sendmsg, fd, message, flags); }
int sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags) {
    return sent(fd), (int)syscall(SYS_sendmmsg, fd, messages, count, flags);
}

ssize_t read(int fd, void *to, size_t size) { return source_read(fd), syscall(SYS_read, fd, to, size); }
ssize_t readv(int fd, const struct iovec *to, int count) { return source_read(fd), syscall(SYS_readv, fd, to, count); }
ssize_t pread(int fd, void *to, size_t size, off_t at) { return source_read(fd), syscall(SYS_pread64, fd, to, size, at); }
ssize_t pread64(int fd, void *to, size_t size, off64_t at) { return source_read(fd), syscall(SYS_pread64, fd, to, size, at); }
ssize_t preadv(int fd, const struct iovec *to, int count, off_t at) { return source_read(fd), syscall(SYS_preadv, fd, to, count, at, 0); }
ssize_t preadv64(int fd, const struct iovec *to, int count, off64_t at) { return source_read(fd), syscall(SYS_preadv, fd, to, count, at, 0); }
