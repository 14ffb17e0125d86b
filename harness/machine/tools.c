/* SPDX-License-Identifier: MIT */
#include "machine/tools.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include <xenstore.h>

#include "testbed/image.h"
#include "testbed/process.h"

#define TTY_WAIT_MS 20000
/* What domu-loop prints when the agent has ended; then its domain powers off. */
#define AGENT_END "@rp-end "

/* ---- audit ---- */

static pid_t read_pid(const char *path)
{
    FILE *f = fopen(path, "re");
    int pid = 0;

    if (!f || fscanf(f, "%d", &pid) != 1)
        pid = 0;
    if (f)
        fclose(f);
    return pid;
}

/* Pages of all mappings of a device file. Xen's devices map one page of a peer for each of theirs.
 */
static void count_mappings(FILE *maps, uint64_t *grants, uint64_t *foreign)
{
    char line[512];

    while (fgets(line, sizeof(line), maps)) {
        uint64_t from, to, *sum = NULL;

        if (strstr(line, "/dev/xen/gntdev"))
            sum = grants;
        else if (strstr(line, "/dev/xen/privcmd"))
            sum = foreign;
        if (sum && sscanf(line, "%" SCNx64 "-%" SCNx64, &from, &to) == 2)
            *sum += (to - from) / 4096;
    }
}

static int audit(const char *pidfile)
{
    pid_t pid = read_pid(pidfile);
    uint64_t grants = 0, foreign = 0;
    char path[64];
    FILE *maps;
    int fds;

    snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
    maps = pid ? fopen(path, "re") : NULL;
    fds = pid ? process_count_fds(pid) : -ESRCH;
    if (!maps || fds < 0) {
        fprintf(stderr, "audit: the process of %s cannot be seen\n", pidfile);
        if (maps)
            fclose(maps);
        return 1;
    }
    count_mappings(maps, &grants, &foreign);
    fclose(maps);
    printf("grants=%" PRIu64 " privcmd=%" PRIu64 " fds=%d\n", grants, foreign, fds);
    return 0;
}

/* ---- console ---- */

/* The terminal that xenconsoled made for a domain; it appears some time after the domain. */
static int open_console(const char *domid)
{
    struct xs_handle *xs = xs_open(0);
    char path[64], *tty = NULL;
    int fd = -ENOENT;

    snprintf(path, sizeof(path), "/local/domain/%s/console/tty", domid);
    if (!xs || !xs_watch(xs, path, "tty")) {
        fd = -errno;
        goto out;
    }
    for (;;) {
        struct pollfd p = {.fd = xs_fileno(xs), .events = POLLIN};
        unsigned n;
        char **event;

        free(tty);
        tty = xs_read(xs, XBT_NULL, path, NULL);
        if (tty && tty[0])
            break;
        if (poll(&p, 1, TTY_WAIT_MS) <= 0)
            goto out;
        event = xs_read_watch(xs, &n);
        free(event);
    }
    fd = open(tty, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        fd = -errno;
out:
    free(tty);
    if (xs)
        xs_close(xs);
    return fd;
}

/* The dom0's end of a domain's channel (libxenvchan's ring), as a program on a socket. */
static int open_channel(const char *domid, const char *node)
{
    char path[128];
    int pair[2];
    pid_t pid;

    snprintf(path, sizeof(path), "/local/domain/%s/%s", domid, node);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
        return -errno;
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (dup2(pair[1], STDIN_FILENO) >= 0 && dup2(pair[1], STDOUT_FILENO) >= 0)
            execlp("vchan-socket-proxy", "vchan-socket-proxy", "--mode=client", domid, path, "-",
                   NULL);
        _exit(127);
    }
    close(pair[1]);
    if (pid < 0) {
        close(pair[0]);
        return -ENOMEM;
    }
    return pair[0];
}

static int write_all(int fd, const char *text, size_t bytes)
{
    while (bytes) {
        ssize_t n = write(fd, text, bytes);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        text += n;
        bytes -= (size_t)n;
    }
    return 0;
}

/* The agent's exit status when its last line is in the stream, else -1. */
static int find_end(char *line, size_t *used, const char *text, size_t bytes)
{
    int status = -1;

    for (size_t i = 0; i < bytes; i++) {
        if (text[i] != '\n') {
            if (*used < 64)
                line[(*used)++] = text[i];
            continue;
        }
        line[*used] = 0;
        *used = 0;
        if (!strncmp(line, AGENT_END, strlen(AGENT_END)))
            status = atoi(line + strlen(AGENT_END));
    }
    return status;
}

/* Between a domain and our standard streams, until its agent has ended. `fd` is closed. */
static int carry(const char *domid, int fd)
{
    static const char quit[] = "{\"op\":\"quit\"}\n";
    struct pollfd p[2] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.events = POLLIN}};
    char buf[4096], line[65];
    size_t used = 0;
    int status = -1;

    p[1].fd = fd;
    while (status < 0) {
        if (poll(p, 2, -1) < 0)
            continue;
        if (p[0].revents) {
            ssize_t n = read(STDIN_FILENO, buf, sizeof(buf));
            bool over = n <= 0;

            if (write_all(fd, over ? quit : buf, over ? sizeof(quit) - 1 : (size_t)n))
                break;
            if (over)
                p[0].fd = -1;
        }
        if (p[1].revents) {
            ssize_t n = read(fd, buf, sizeof(buf));

            if (n <= 0 || write_all(STDOUT_FILENO, buf, (size_t)n))
                break;
            status = find_end(line, &used, buf, (size_t)n);
        }
    }
    close(fd);
    if (status < 0)
        fprintf(stderr, "console of domain %s: it is gone\n", domid);
    return status < 0 ? 1 : status;
}

static int no_stream(const char *domid, int err)
{
    fprintf(stderr, "console of domain %s: %s\n", domid, strerror(-err));
    return 1;
}

static int console(const char *domid)
{
    struct termios raw;
    int fd = open_console(domid);

    if (fd < 0)
        return no_stream(domid, fd);
    if (!tcgetattr(fd, &raw)) {
        cfmakeraw(&raw);
        tcsetattr(fd, TCSANOW, &raw);
    }
    return carry(domid, fd);
}

/* ---- driver ---- */

/* What the harness is to hear of a driver domain's console; the rest is its log. */
static bool is_for_the_harness(const char *line)
{
    return !strcmp(line, "ready\n") || !strncmp(line, "@rp-", 4);
}

/* The status when the backend has ended, else -1. */
static int sort_line(const char *line)
{
    int out = is_for_the_harness(line) ? STDOUT_FILENO : STDERR_FILENO;

    if (!strncmp(line, AGENT_END, strlen(AGENT_END)))
        return atoi(line + strlen(AGENT_END));
    return write_all(out, line, strlen(line)) ? 1 : -1;
}

/* Ends as the backend ends. SIGTERM, or the end of standard input, is a signal to the backend. */
static int driver(const char *domid)
{
    static const char end[] = "signal TERM\n";
    int fd = open_console(domid), status = -1;
    char line[1024], buf[4096];
    struct termios raw;
    size_t used = 0;
    sigset_t set;

    if (fd < 0)
        return no_stream(domid, fd);
    if (!tcgetattr(fd, &raw)) {
        cfmakeraw(&raw);
        tcsetattr(fd, TCSANOW, &raw);
    }
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    struct pollfd p[3] = {{.fd = STDIN_FILENO, .events = POLLIN},
                          {.fd = fd, .events = POLLIN},
                          {.fd = signalfd(-1, &set, SFD_CLOEXEC), .events = POLLIN}};
    while (status < 0) {
        if (poll(p, 3, -1) < 0)
            continue;
        ssize_t n = p[0].revents ? read(p[0].fd, buf, sizeof(buf)) : 1;
        bool over = n <= 0 || p[2].revents;

        if (p[0].revents && n > 0 && write_all(fd, buf, (size_t)n))
            break;
        if (over) {
            p[0].fd = p[2].fd = -1;
            if (write_all(fd, end, sizeof(end) - 1))
                break;
        }
        if (!p[1].revents)
            continue;
        n = read(fd, buf, sizeof(buf));
        if (n <= 0)
            break;
        for (ssize_t i = 0; i < n && status < 0; i++) {
            if (buf[i] != '\r' && used < sizeof(line) - 2)
                line[used++] = buf[i];
            if (buf[i] != '\n')
                continue;
            line[used - 1] = '\n';
            line[used] = 0;
            used = 0;
            status = sort_line(line);
        }
    }
    close(fd);
    if (status < 0)
        fprintf(stderr, "console of driver domain %s: it is gone\n", domid);
    return status < 0 ? 1 : status;
}

/* The agent's arguments are the first line. */
static int channel(const char *domid, const char *node, char **words)
{
    int fd = open_channel(domid, node), rc = fd < 0 ? fd : 0;

    for (; !rc && *words; words++) {
        rc = write_all(fd, *words, strlen(*words));
        if (!rc)
            rc = write_all(fd, words[1] ? " " : "\n", 1);
    }
    if (rc) {
        if (fd >= 0)
            close(fd);
        return no_stream(domid, rc);
    }
    return carry(domid, fd);
}

/* ---- socket ---- */

static int connect_socket(const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd, err;

    if (strlen(path) >= sizeof(at.sun_path))
        return -ENAMETOOLONG;
    strcpy(at.sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (!connect(fd, (const struct sockaddr *)&at, sizeof(at)))
        return fd;
    err = -errno;
    close(fd);
    return err;
}

/* Between a socket and our standard streams, until either side ends. The first line says whether
 * it is connected. */
static int join_socket(const char *path)
{
    struct pollfd p[2] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.events = POLLIN}};
    char buf[4096];
    int fd = connect_socket(path);

    printf("%s\n", fd < 0 ? strerror(-fd) : "connected");
    fflush(stdout);
    if (fd < 0)
        return 1;
    p[1].fd = fd;
    for (bool over = false; !over;) {
        if (poll(p, 2, -1) < 0)
            continue;
        for (unsigned i = 0; i < 2 && !over; i++) {
            ssize_t n;

            if (!p[i].revents)
                continue;
            n = read(p[i].fd, buf, sizeof(buf));
            over = n <= 0 || write_all(i ? STDOUT_FILENO : fd, buf, (size_t)n);
        }
    }
    close(fd);
    return 0;
}

/* ---- image ---- */

static int image(const char *path, const char *bytes, const char *content)
{
    int rc;

    unlink(path);
    rc = image_create(path, strtoull(bytes, NULL, 10), !strcmp(content, "filled"));
    if (rc)
        fprintf(stderr, "image %s: %s\n", path, strerror(-rc));
    return rc ? 1 : 0;
}

int tools_main(int argc, char **argv)
{
    if (argc == 2 && !strcmp(argv[0], "audit"))
        return audit(argv[1]);
    if (argc == 2 && !strcmp(argv[0], "console"))
        return console(argv[1]);
    if (argc == 2 && !strcmp(argv[0], "driver"))
        return driver(argv[1]);
    if (argc > 3 && !strcmp(argv[0], "channel"))
        return channel(argv[1], argv[2], argv + 3);
    if (argc == 2 && !strcmp(argv[0], "socket"))
        return join_socket(argv[1]);
    if (argc == 4 && !strcmp(argv[0], "image"))
        return image(argv[1], argv[2], argv[3]);
    fputs("usage: ringproof-dom0-loop [audit PIDFILE | console DOMID | driver DOMID |\n       "
          "channel DOMID NODE "
          "WORD... | socket PATH | image FILE BYTES empty|filled]\n",
          stderr);
    return 2;
}
