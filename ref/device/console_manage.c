/* SPDX-License-Identifier: MIT */
#include "device/console_manage.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "device/vdev_impl.h"
#include "util/bits.h"
#include "util/parse.h"

#define WORDS_MAX 4u

static int resize(struct vdev *d, char **word)
{
    uint16_t cols, rows;

    if (parse_u16(word[1], 1, UINT16_MAX, &cols) || parse_u16(word[2], 1, UINT16_MAX, &rows))
        return -EINVAL;
    console_resize(d, cols, rows);
    return 0;
}

static int move_port(struct vdev *d, char **word, int (*move)(struct vdev *d, unsigned port))
{
    uint32_t port;

    return parse_u32(word[1], 0, CONSOLE_PORTS_MAX - 1, &port) ? -EINVAL : move(d, port);
}

static int obey(struct vdev *d, char *line)
{
    char *word[WORDS_MAX] = {NULL};
    unsigned count = 0;

    for (char *w; count < WORDS_MAX && (w = strsep(&line, " ")) != NULL;)
        word[count++] = w;
    if (count == 3 && !strcmp(word[0], "resize"))
        return resize(d, word);
    if (count == 2 && !strcmp(word[0], "remove"))
        return move_port(d, word, console_port_remove);
    if (count == 2 && !strcmp(word[0], "add"))
        return move_port(d, word, console_port_add);
    return -EINVAL;
}

/* An answer that a client does not take is its own loss. */
static void answer(struct console_manage *m, int rc)
{
    char text[96];
    int n = rc ? snprintf(text, sizeof(text), "error: %s\n", strerror(-rc))
               : snprintf(text, sizeof(text), "ok\n");
    const struct iovec iov = {text, (size_t)n};

    if (m->end.open)
        (void)console_end_write(&m->end, &iov, 1);
}

static void take_lines(struct console_manage *m)
{
    char *newline;

    while ((newline = memchr(m->line, '\n', m->used)) != NULL) {
        size_t rest = m->used - (size_t)(newline + 1 - m->line);

        *newline = '\0';
        answer(m, obey(m->device, m->line));
        memmove(m->line, newline + 1, rest);
        m->used = rest;
    }
}

static void manage_changed(struct console_end *e)
{
    struct console_manage *m = container_of(e, struct console_manage, end);

    vdev_batch_begin(m->device);
    while (e->can_read && m->used < sizeof(m->line)) {
        const struct iovec iov = {m->line + m->used, sizeof(m->line) - m->used};

        m->used += console_end_read(e, &iov, 1);
        take_lines(m);
    }
    if (m->used == sizeof(m->line))
        console_end_disconnect(e);
    if (!e->open)
        m->used = 0;
    vdev_batch_end(m->device);
}

int console_manage_init(struct console_manage *m, struct vdev *d, const char *path, char *error,
                        size_t error_bytes)
{
    const struct console_port_options o = {.kind = CONSOLE_END_UNIX, .path = path};

    m->device = d;
    m->used = 0;
    return console_end_init(&m->end, d->loop, &o, manage_changed, error, error_bytes);
}

void console_manage_fini(struct console_manage *m)
{
    if (m->device)
        console_end_fini(&m->end);
    m->device = NULL;
}
