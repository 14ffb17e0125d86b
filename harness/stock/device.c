/* SPDX-License-Identifier: MIT */
#include "stock/device.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "stock/kmsg.h"
#include "util/bits.h"

/* One step may take this much of the check's time, so that the check says itself what hangs. */
#define STEP_SHARE(limit_ms) ((limit_ms) / 4 * 3)

/* Linux's buses that have virtio devices, and its driver there. */
static const struct {
    const char *name, *driver;
} buses[STOCK_BUSES] = {
    [STOCK_PCI] = {"pci", "virtio-pci"},
    [STOCK_MMIO] = {"platform", "virtio-mmio"},
};

static const struct stock_kind kinds[] = {
    {"blk", 2, "virtio_blk", "block", stock_exercise_blk},
    {"net", 1, "virtio_net", "net", stock_exercise_net},
    {"console", 3, "virtio_console", "virtio-ports", stock_exercise_console},
    {"rng", 4, "virtio_rng", NULL, stock_exercise_rng},
};

/* ---- files ---- */

/* 0 and the text without its last newline, or an errno. */
static int read_text(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n;

    if (fd < 0)
        return errno;
    n = read(fd, text, size - 1);
    int err = n < 0 ? errno : 0;
    close(fd);
    if (err)
        return err;
    if (n > 0 && text[n - 1] == '\n')
        n--;
    text[n] = 0;
    return 0;
}

/* The only entry of a folder that begins with `prefix`; false when there is none. */
static bool find_entry(const char *folder, const char *prefix, char *name, size_t size)
{
    DIR *d = opendir(folder);
    bool found = false;

    for (struct dirent *e; d && !found && (e = readdir(d));)
        if (e->d_name[0] != '.' && !strncmp(e->d_name, prefix, strlen(prefix)))
            found = snprintf(name, size, "%s", e->d_name) < (int)size;
    if (d)
        closedir(d);
    return found;
}

static void place_path(const struct stock *s, char *path, size_t size)
{
    snprintf(path, size, "/sys/bus/%s/devices/%s", buses[s->subject->bus].name, s->subject->place);
}

json_t *stock_ask(struct stock *s, const char *what, json_t *args)
{
    char why[256] = "";
    json_t *value = NULL;
    int err = s->subject->ask(s->subject->ctx, what, args, &value, why, sizeof(why));

    if (err)
        error_out(s->t, "%s: %s", what, why);
    return value;
}

/* ---- children ---- */

int stock_do(struct stock *s, const char *what, int (*fn)(void *arg), void *arg)
{
    unsigned limit_ms = STEP_SHARE(s->subject->limit_ms);
    int status = 0, ready;
    pid_t pid = fork();

    if (pid < 0)
        error_out(s->t, "fork: %s", strerror(errno));
    if (pid == 0)
        _exit(fn(arg));
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0) {
        kill(pid, SIGKILL);
        error_out(s->t, "pidfd_open: %s", strerror(errno));
    }
    struct pollfd p = {.fd = fd, .events = POLLIN};
    do
        ready = poll(&p, 1, (int)limit_ms);
    while (ready < 0 && errno == EINTR);
    close(fd);
    if (ready <= 0) {
        struct kmsg k;
        bool said = !kmsg_read(&k) && k.complaints;

        kill(pid, SIGKILL); /* in vain when it waits for the device; it is not waited for */
        s->hung = true;
        expect(s->t, MUST, ready > 0, "Linux hangs: %s did not end within %u s%s%s", what,
               limit_ms / 1000, said ? "; it says: " : "", said ? k.first : "");
        stop_check(s->t);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (!WIFEXITED(status)) {
        expect(s->t, MUST, WIFEXITED(status), "Linux killed who did this: %s (signal %d)", what,
               WTERMSIG(status));
        stop_check(s->t);
    }
    return WEXITSTATUS(status);
}

struct mapping {
    void *va;
    size_t bytes;
};

static void mapping_release(void *arg)
{
    struct mapping *m = arg;

    munmap(m->va, m->bytes);
    free(m);
}

void *stock_memory(struct stock *s, size_t bytes)
{
    struct mapping *m = malloc(sizeof(*m));

    if (!m)
        error_out(s->t, "no memory");
    m->bytes = bytes;
    m->va = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (m->va == MAP_FAILED) {
        free(m);
        error_out(s->t, "no memory for %zu bytes", bytes);
    }
    check_defer(s->t, mapping_release, m);
    return m->va;
}

/* ---- binding ---- */

struct sysfs_write {
    char path[STOCK_PATH_BYTES];
    const char *text;
};

static int write_text(void *arg)
{
    const struct sysfs_write *w = arg;
    int fd = open(w->path, O_WRONLY | O_CLOEXEC);
    int err = fd < 0 || write(fd, w->text, strlen(w->text)) < 0 ? errno : 0;

    if (fd >= 0)
        close(fd);
    return err;
}

/*
 * Writes the device's name to a file of its driver: the virtio driver, whose removal resets the
 * device, and not the one of the bus below. With grants Linux (6.12, drivers/xen/grant-dma-ops.c)
 * goes on to use what it kept of the bus device, and that was freed when that driver went.
 */
static int tell_driver(struct stock *s, const char *file)
{
    struct sysfs_write w = {.text = s->virtio};
    char what[2 * STOCK_NAME_BYTES];

    snprintf(w.path, sizeof(w.path), "/sys/bus/virtio/drivers/%s/%s", s->kind->driver, file);
    snprintf(what, sizeof(what), "%s %s", file, s->virtio);
    return stock_do(s, what, write_text, &w);
}

/* The driver of the virtio device; false when there is none. */
static bool driver_name(const struct stock *s, char *name, size_t size)
{
    char path[2 * STOCK_PATH_BYTES], link[STOCK_PATH_BYTES];
    ssize_t n;

    place_path(s, path, STOCK_PATH_BYTES);
    snprintf(path + strlen(path), sizeof(path) - strlen(path), "/%s/driver", s->virtio);
    n = readlink(path, link, sizeof(link) - 1);
    if (n <= 0)
        return false;
    link[n] = 0;
    const char *slash = strrchr(link, '/');
    snprintf(name, size, "%s", slash ? slash + 1 : link);
    return true;
}

static bool has_driver(const struct stock *s)
{
    char name[STOCK_PATH_BYTES];

    return driver_name(s, name, sizeof(name));
}

/* The name of the virtio device that the bus's driver has made; ends the check when it has not. */
static void find_virtio(struct stock *s)
{
    char place[STOCK_PATH_BYTES];
    bool found;

    place_path(s, place, sizeof(place));
    found = find_entry(place, "virtio", s->virtio, sizeof(s->virtio));
    if (found)
        return;
    struct kmsg k;
    bool said = !kmsg_read(&k) && k.complaints;
    expect(s->t, MUST, found, "at %s the driver %s takes no virtio device%s%s", s->subject->place,
           buses[s->subject->bus].driver, said ? "; Linux says: " : "", said ? k.first : "");
    stop_check(s->t);
}

/* What the kind's driver made of the device; ends the check when it did not take it. */
static void find_node(struct stock *s)
{
    char path[2 * STOCK_PATH_BYTES], driver[STOCK_PATH_BYTES] = "none";
    bool found = driver_name(s, driver, sizeof(driver)) && !strcmp(driver, s->kind->driver);

    if (!found) {
        struct kmsg k;
        bool said = !kmsg_read(&k) && k.complaints;

        expect(s->t, MUST, found, "at %s Linux has the driver %s, not %s%s%s", s->subject->place,
               driver, s->kind->driver, said ? "; it says: " : "", said ? k.first : "");
        stop_check(s->t);
    }
    if (!s->kind->class)
        return;
    place_path(s, path, STOCK_PATH_BYTES);
    snprintf(path + strlen(path), sizeof(path) - strlen(path), "/%s/%s", s->virtio, s->kind->class);
    found = find_entry(path, "", s->node, sizeof(s->node));
    expect(s->t, MUST, found, "the driver %s took the device and made nothing of it", driver);
    if (!found)
        stop_check(s->t);
}

void stock_bind(struct stock *s)
{
    int err = tell_driver(s, "bind");

    expect(s->t, MUST, err == 0, "Linux does not bind its driver: %s", strerror(err));
    if (err)
        stop_check(s->t);
    find_node(s);
}

void stock_unbind(struct stock *s)
{
    int err = tell_driver(s, "unbind");

    s->node[0] = 0;
    expect(s->t, MUST, err == 0, "Linux does not unbind its driver: %s", strerror(err));
    if (err)
        stop_check(s->t);
}

void stock_find(struct stock *s)
{
    find_virtio(s);
    find_node(s);
}

static int do_open(void *arg)
{
    return open(arg, O_RDONLY | O_CLOEXEC) < 0 ? errno : 0;
}

/* A disk is in sysfs, and then in /dev, some time before Linux lets anybody open it. */
static bool opens(struct stock *s, const char *node)
{
    char path[STOCK_PATH_BYTES];
    int err;

    snprintf(path, sizeof(path), "/dev/%s", node);
    err = stock_do(s, "opening a disk that came", do_open, path);
    return err != ENOENT && err != ENXIO;
}

static bool is_there(struct stock *s)
{
    char path[2 * STOCK_PATH_BYTES], node[STOCK_NAME_BYTES];

    place_path(s, path, STOCK_PATH_BYTES);
    if (!find_entry(path, "virtio", s->virtio, sizeof(s->virtio)) || !has_driver(s))
        return false;
    if (!s->kind->class)
        return true;
    /* A driver is said to have the device before it has made anything of it. */
    snprintf(path + strlen(path), sizeof(path) - strlen(path), "/%s/%s", s->virtio, s->kind->class);
    return find_entry(path, "", node, sizeof(node)) &&
           (strcmp(s->kind->class, "block") || opens(s, node));
}

bool stock_wait(struct stock *s, bool there, unsigned limit_ms)
{
    const struct timespec moment = {.tv_nsec = 10000000};
    char path[STOCK_PATH_BYTES];

    place_path(s, path, sizeof(path));
    /* As many moments as there are in the limit. */
    for (unsigned i = 0;; i++) {
        if (there ? is_there(s) : access(path, F_OK) != 0)
            return true;
        if (i >= limit_ms / 10)
            return false;
        (void)nanosleep(&moment, NULL);
    }
}

void stock_write(struct stock *s, const char *path, const char *text)
{
    struct sysfs_write w = {.text = text};
    int err;

    snprintf(w.path, sizeof(w.path), "%s", path);
    err = stock_do(s, path, write_text, &w);
    expect(s->t, MUST, err == 0, "%s: %s", path, strerror(err));
    if (err)
        stop_check(s->t);
}

static void stock_release(void *arg)
{
    struct stock *s = arg;

    json_decref(s->info);
    free(s);
}

static void unbind_at_end(void *arg)
{
    struct stock *s = arg;

    if (!s->hung && has_driver(s))
        stock_unbind(s);
}

static const struct stock_kind *find_kind(const char *type)
{
    for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++)
        if (!strcmp(kinds[i].type, type))
            return &kinds[i];
    return NULL;
}

struct stock *given_stock(struct check_ctx *t, const char *type)
{
    const struct stock_subject *subject = check_subject(t);
    char why[256] = "", path[STOCK_PATH_BYTES];
    struct stock *s;
    int err;

    if (!subject->place)
        skip_check(t, "there is no device");
    s = calloc(1, sizeof(*s));
    if (!s)
        error_out(t, "no memory");
    *s = (struct stock){.t = t, .subject = subject};
    check_defer(t, stock_release, s);
    err = subject->ask(subject->ctx, "device.info", NULL, &s->info, why, sizeof(why));
    if (err)
        error_out(t, "device.info: %s", why[0] ? why : strerror(-err));
    const char *have = stock_info_text(s, "type");
    s->kind = find_kind(have);
    if (!s->kind)
        skip_check(t, "nothing is known of Linux's driver for a device of type %s", have);
    if (type && strcmp(type, have) != 0)
        skip_check(t, "the device is of type %s, not %s", have, type);

    place_path(s, path, sizeof(path));
    bool found = access(path, F_OK) == 0;
    expect(t, MUST, found, "Linux did not find a device at %s", subject->place);
    if (!found)
        stop_check(t);
    find_virtio(s);
    check_defer(t, unbind_at_end, s);
    if (has_driver(s))
        find_node(s);
    else
        stock_bind(s);
    return s;
}

/* ---- what is known of it ---- */

static const json_t *info_member(struct stock *s, const char *key)
{
    const json_t *v = json_object_get(s->info, key);

    if (!v)
        error_out(s->t, "device.info has no '%s'", key);
    return v;
}

uint64_t stock_info_number(struct stock *s, const char *key)
{
    const json_t *v = info_member(s, key);

    if (!json_is_integer(v) || json_integer_value(v) < 0)
        error_out(s->t, "'%s' in device.info is no number", key);
    return (uint64_t)json_integer_value(v);
}

const char *stock_info_text(struct stock *s, const char *key)
{
    const char *text = json_string_value(info_member(s, key));

    if (!text)
        error_out(s->t, "'%s' in device.info is no text", key);
    return text;
}

bool stock_info_true(struct stock *s, const char *key)
{
    return json_is_true(info_member(s, key));
}

static void read_or_stop(struct stock *s, const char *path, char *text, size_t size)
{
    int err = read_text(path, text, size);

    expect(s->t, MUST, err == 0, "%s: %s", path, strerror(err));
    if (err)
        stop_check(s->t);
}

void stock_read_virtio(struct stock *s, const char *name, char *text, size_t size)
{
    char path[STOCK_PATH_BYTES];

    snprintf(path, sizeof(path), "/sys/bus/virtio/devices/%s/%s", s->virtio, name);
    read_or_stop(s, path, text, size);
}

void stock_read_node(struct stock *s, const char *name, char *text, size_t size)
{
    char path[2 * STOCK_PATH_BYTES];

    snprintf(path, sizeof(path), "/sys/class/%s/%s/%s", s->kind->class, s->node, name);
    read_or_stop(s, path, text, size);
}

static uint64_t to_number(struct stock *s, const char *name, const char *text)
{
    char *end;
    uint64_t v = strtoull(text, &end, 0);

    if (end == text || *end)
        error_out(s->t, "%s is '%s', no number", name, text);
    return v;
}

uint64_t stock_number_virtio(struct stock *s, const char *name)
{
    char text[STOCK_NAME_BYTES];

    stock_read_virtio(s, name, text, sizeof(text));
    return to_number(s, name, text);
}

uint64_t stock_number_node(struct stock *s, const char *name)
{
    char text[STOCK_NAME_BYTES];

    stock_read_node(s, name, text, sizeof(text));
    return to_number(s, name, text);
}

bool stock_negotiated(struct stock *s, unsigned bit)
{
    char text[2 * STOCK_NAME_BYTES + 1];

    /* A digit for each bit, the lowest first. */
    stock_read_virtio(s, "features", text, sizeof(text));
    if (bit >= strlen(text))
        error_out(s->t, "Linux shows %zu feature bits", strlen(text));
    return text[bit] == '1';
}
