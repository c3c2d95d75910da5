/* Loaded before libc (LD_PRELOAD): counts the calls by which a process changes files or starts processes, and lets one
 * of them fail, or kills the process in its place.
 *
 * FAULT_ROOT   only calls on paths below it count (spawning counts always)
 * FAULT_ROLES  `name=text;name=text`: a process whose command line holds the text has that role, the first match wins;
 *              others are left alone. `@` in a name stands for the command line's last word, with long numbers and
 *              random parts masked. What a forked process does before it becomes another program counts apart, as
 *              `child of NAME`.
 * FAULT_TRACE  a file that gets a line a call: role, number, call, path
 * FAULT_AT     `role:number`: where the fault happens
 * FAULT_DO     `kill`, `back` (from there on the clock is a day behind), `stop` (until it is told to go on), or the
 *              number of an errno
 * FAULT_LOCKS  set: locks are had by everybody, as on file systems that only say so
 * FAULT_DONE   a file that is made when it happened, with the call and its path
 *
 * A process that was forked instead of started (`forkserver.py`) says with faults_begin() what its command line is.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static char role[1024], at_role[1024], root[4096];
static long at_number = -1;
static int action = 0, trace_fd = -1;
static atomic_int behind = 0;
static atomic_long counted = 0;

static void mask(char *to, const char *from, size_t room) {
    /* Runs of four or more digits, and of twelve hexadecimal ones, become #. */
    size_t n = 0;
    while (*from && n + 2 < room) {
        size_t digits = strspn(from, "0123456789"), hex = strspn(from, "0123456789abcdef");
        if (hex >= 12) {
            to[n++] = '#';
            from += hex;
        } else if (digits >= 4) {
            to[n++] = '#';
            from += digits;
        } else {
            to[n++] = *from++;
        }
    }
    to[n] = 0;
}

/* From a command line whose words end with a zero byte each. */
static void find_role(const char *line, long size) {
    const char *roles = getenv("FAULT_ROLES");
    role[0] = 0;
    if (size <= 0 || size >= 16384 || !roles) return;
    char last[4096] = "", whole[16384];
    for (long i = 0; i < size; i += (long)strlen(line + i) + 1) {
        const char *base = strrchr(line + i, '/');
        snprintf(last, sizeof last, "%.4000s", base ? base + 1 : line + i);
    }
    memcpy(whole, line, (size_t)size + 1);
    for (long i = 0; i < size - 1; i++)
        if (!whole[i]) whole[i] = ' ';
    char copy[4096], *save = NULL;
    snprintf(copy, sizeof copy, "%s", roles);
    for (char *entry = strtok_r(copy, ";", &save); entry; entry = strtok_r(NULL, ";", &save)) {
        char *text = strchr(entry, '=');
        if (!text) continue;
        *text++ = 0;
        if (!strstr(whole, text)) continue;
        char detail[1024] = "";
        if (strchr(entry, '@')) mask(detail, last, sizeof detail);
        char *mark = strchr(entry, '@');
        if (mark) *mark = 0;
        snprintf(role, sizeof role, "%.200s%.700s", entry, detail);
        return;
    }
}

/* Count from here on, as a process that was started with this command line. */
void faults_begin(const char *line, long size) {
    const char *value = getenv("FAULT_ROOT");
    counted = 0;
    behind = 0;
    at_number = -1;
    trace_fd = -1;
    role[0] = 0;
    if (!value) return;
    snprintf(root, sizeof root, "%s", value);
    find_role(line, size);
    if (!role[0]) return;
    if ((value = getenv("FAULT_TRACE")))
        trace_fd = (int)syscall(SYS_openat, AT_FDCWD, value, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if ((value = getenv("FAULT_AT"))) {
        const char *colon = strrchr(value, ':');
        if (colon) {
            snprintf(at_role, sizeof at_role, "%.*s", (int)(colon - value), value);
            at_number = atol(colon + 1);
        }
    }
    value = getenv("FAULT_DO");
    action = !value || !strcmp(value, "kill") ? 0 : !strcmp(value, "back") ? -1 : !strcmp(value, "stop") ? -2 : atoi(value);
}

static void forked(void) {
    char name[1024];
    if (!role[0]) return;
    snprintf(name, sizeof name, "child of %.1000s", role);
    strcpy(role, name);
    counted = 0;
}

__attribute__((constructor)) static void begin(void) {
    static char line[16384];
    long size = 0, more;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    while (size < (long)sizeof line - 1 && (more = syscall(SYS_read, fd, line + size, sizeof line - 1 - (size_t)size)) > 0)
        size += more;
    syscall(SYS_close, fd);
    faults_begin(line, size);
    pthread_atfork(NULL, NULL, forked);
}

/* 0: go on; else the errno to fail with. */
static int point(const char *call, const char *path) {
    if (!role[0]) return 0;
    if (path && strncmp(path, root, strlen(root)) != 0) return 0;
    long number = atomic_fetch_add(&counted, 1) + 1;
    if (trace_fd >= 0) {
        char line[8192];
        int size = snprintf(line, sizeof line, "%s\t%ld\t%s\t%s\n", role, number, call, path ? path : "");
        syscall(SYS_write, trace_fd, line, (size_t)size);
    }
    if (number != at_number || strcmp(role, at_role) != 0) return 0;
    const char *done = getenv("FAULT_DONE");
    if (done) {
        int fd = (int)syscall(SYS_openat, AT_FDCWD, done, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0) return 0; /* once in all, not once a process */
        char line[8192];
        int size = snprintf(line, sizeof line, "%s\t%s\t%s\t%ld\n", role, call, path ? path : "", syscall(SYS_getpid));
        syscall(SYS_write, fd, line, (size_t)size);
        syscall(SYS_close, fd);
    }
    if (action == -2) {
        syscall(SYS_kill, syscall(SYS_getpid), SIGSTOP);
        return 0;
    }
    if (action == 0) {
        syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
        for (;;) pause();
    }
    if (action < 0) {
        behind = 1;
        return 0;
    }
    return action;
}

static const char *path_of(int fd, char *room) {
    char name[64];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(name, room, 4095);
    if (n < 0) return "";
    room[n] = 0;
    return room;
}

static const char *absolute(int dir, const char *path, char *room) {
    if (path[0] == '/') return path;
    char base[4096];
    if (dir == AT_FDCWD) {
        if (!getcwd(base, sizeof base)) return path;
    } else {
        path_of(dir, base);
    }
    snprintf(room, 8192, "%s/%s", base, path);
    return room;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define FAIL_FD(fd, call)                          \
    do {                                           \
        char room_[4096];                          \
        if (role[0]) {                             \
            int e_ = point(call, path_of(fd, room_)); \
            if (e_) { errno = e_; return -1; }     \
        }                                          \
    } while (0)
#define FAIL_PATH(dir, path, call)                            \
    do {                                                      \
        char room_[8192];                                     \
        if (role[0]) {                                        \
            int e_ = point(call, absolute(dir, path, room_)); \
            if (e_) { errno = e_; return -1; }                \
        }                                                     \
    } while (0)

ssize_t write(int fd, const void *data, size_t size) { FAIL_FD(fd, "write"); return REAL(write)(fd, data, size); }
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { FAIL_FD(fd, "pwrite"); return REAL(pwrite)(fd, data, size, at); }
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) { FAIL_FD(fd, "pwrite"); return REAL(pwrite64)(fd, data, size, at); }
ssize_t writev(int fd, const struct iovec *parts, int count) { FAIL_FD(fd, "writev"); return REAL(writev)(fd, parts, count); }
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) { FAIL_FD(fd, "pwritev"); return REAL(pwritev)(fd, parts, count, at); }
ssize_t sendfile(int to, int from, off_t *at, size_t size) { FAIL_FD(to, "write"); return REAL(sendfile)(to, from, at, size); }
ssize_t sendfile64(int to, int from, off64_t *at, size_t size) { FAIL_FD(to, "write"); return REAL(sendfile64)(to, from, at, size); }
ssize_t copy_file_range(int from, off64_t *a, int to, off64_t *b, size_t size, unsigned flags) { FAIL_FD(to, "write"); return REAL(copy_file_range)(from, a, to, b, size, flags); }
int flock(int fd, int how) { return getenv("FAULT_LOCKS") ? 0 : REAL(flock)(fd, how); }
int fsync(int fd) { FAIL_FD(fd, "fsync"); return REAL(fsync)(fd); }
int fdatasync(int fd) { FAIL_FD(fd, "fdatasync"); return REAL(fdatasync)(fd); }
int ftruncate(int fd, off_t size) { FAIL_FD(fd, "ftruncate"); return REAL(ftruncate)(fd, size); }
int ftruncate64(int fd, off64_t size) { FAIL_FD(fd, "ftruncate"); return REAL(ftruncate64)(fd, size); }
int truncate(const char *path, off_t size) { FAIL_PATH(AT_FDCWD, path, "ftruncate"); return REAL(truncate)(path, size); }
int rename(const char *from, const char *to) { FAIL_PATH(AT_FDCWD, to, "rename"); return REAL(rename)(from, to); }
int renameat(int a, const char *from, int b, const char *to) { FAIL_PATH(b, to, "rename"); return REAL(renameat)(a, from, b, to); }
int link(const char *from, const char *to) { FAIL_PATH(AT_FDCWD, to, "link"); return REAL(link)(from, to); }
int linkat(int a, const char *from, int b, const char *to, int flags) { FAIL_PATH(b, to, "link"); return REAL(linkat)(a, from, b, to, flags); }
int symlink(const char *from, const char *to) { FAIL_PATH(AT_FDCWD, to, "symlink"); return REAL(symlink)(from, to); }
int unlink(const char *path) { FAIL_PATH(AT_FDCWD, path, "unlink"); return REAL(unlink)(path); }
int unlinkat(int dir, const char *path, int flags) { FAIL_PATH(dir, path, "unlink"); return REAL(unlinkat)(dir, path, flags); }
int rmdir(const char *path) { FAIL_PATH(AT_FDCWD, path, "rmdir"); return REAL(rmdir)(path); }
int mkdir(const char *path, mode_t mode) { FAIL_PATH(AT_FDCWD, path, "mkdir"); return REAL(mkdir)(path, mode); }
int mkdirat(int dir, const char *path, mode_t mode) { FAIL_PATH(dir, path, "mkdir"); return REAL(mkdirat)(dir, path, mode); }

#define CHANGES(flags) ((flags) & (O_CREAT | O_TRUNC | O_WRONLY | O_RDWR))
#define OPEN(name)                                                          \
    int name(const char *path, int flags, ...) {                            \
        va_list more;                                                       \
        va_start(more, flags);                                              \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0; \
        va_end(more);                                                       \
        if (CHANGES(flags)) FAIL_PATH(AT_FDCWD, path, "open");              \
        return REAL(name)(path, flags, mode);                               \
    }
OPEN(open)
OPEN(open64)
#define OPENAT(name)                                                        \
    int name(int dir, const char *path, int flags, ...) {                   \
        va_list more;                                                       \
        va_start(more, flags);                                              \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0; \
        va_end(more);                                                       \
        if (CHANGES(flags)) FAIL_PATH(dir, path, "open");                   \
        return REAL(name)(dir, path, flags, mode);                          \
    }
OPENAT(openat)
OPENAT(openat64)

/* Python makes a pipe right before it starts a process; vfork itself cannot be stood in for. */
int pipe2(int ends[2], int flags) {
    int e = point("spawn", NULL);
    if (e) { errno = e; return -1; }
    return REAL(pipe2)(ends, flags);
}

int clock_gettime(clockid_t clock, struct timespec *at) {
    int result = REAL(clock_gettime)(clock, at);
    if (behind && clock == CLOCK_REALTIME) at->tv_sec -= 86400;
    return result;
}
