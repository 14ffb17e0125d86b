/* SPDX-License-Identifier: MIT */
/*
 * A console device behind Linux's virtio_console: port 0 is a terminal of the kernel's hvc
 * driver. Output without anybody at the host end is taken and dropped.
 */
#include "stock/console.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

/* hvc0 is Xen's own console. */
#define HVC_FIRST 1u
#define HVC_LAST  15u

#define LINES 64u

/* The kernel's time, for a port of which it is told after the driver is bound. */
#define PORT_TRIES    2000u
#define PORT_PAUSE_NS 5000000l

struct session {
    unsigned cols, rows;
};

static int open_once(void)
{
    for (unsigned i = HVC_FIRST; i <= HVC_LAST; i++) {
        char path[32];
        int fd;

        snprintf(path, sizeof(path), "/dev/hvc%u", i);
        fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
        if (fd >= 0)
            return fd;
    }
    return -1;
}

int stock_console_open(void)
{
    const struct timespec pause = {.tv_nsec = PORT_PAUSE_NS};
    int fd = open_once();

    for (unsigned i = 0; fd < 0 && i < PORT_TRIES; i++) {
        nanosleep(&pause, NULL);
        fd = open_once();
    }
    return fd;
}

static int write_lines(void *arg)
{
    static const char line[] = "a line of text that goes to the host end, if somebody is there\r\n";
    struct session *x = arg;
    struct winsize size = {0};
    int fd = stock_console_open(), err = 0;

    if (fd < 0)
        return errno;
    for (unsigned i = 0; i < LINES && !err; i++)
        for (size_t done = 0; done < sizeof(line) - 1 && !err;) {
            ssize_t n = write(fd, line + done, sizeof(line) - 1 - done);

            if (n > 0)
                done += (size_t)n;
            else if (errno != EINTR)
                err = errno;
        }
    if (!err && (tcdrain(fd) || ioctl(fd, TIOCGWINSZ, &size)))
        err = errno;
    x->cols = size.ws_col;
    x->rows = size.ws_row;
    close(fd);
    return err;
}

void stock_exercise_console(struct stock *s)
{
    struct session *x = stock_memory(s, sizeof(*x));
    int err = stock_do(s, "output to the console", write_lines, x);

    expect(s->t, MUST, err == 0, "output to the console fails: %s", strerror(err));
    if (err)
        stop_check(s->t);
    note(s->t, "size", "%u x %u", x->cols, x->rows);
}
