/* SPDX-License-Identifier: MIT */

#include "simxen/hv/hv.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define TICK_NS UINT64_C(5000000)

void hv_log(const char *fmt, ...)
{
    char line[512];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(line, sizeof(line) - 1, fmt, ap);
    va_end(ap);
    if (n < 0)
        return;
    if (n > (int)sizeof(line) - 2)
        n = sizeof(line) - 2;
    line[n] = '\n';
    line[n + 1] = '\0';
    fputs(line, stderr);
}

void hv_tick_later(struct hv *hv)
{
    if (!hv->tick.armed)
        evloop_timer_arm(hv->loop, &hv->tick, TICK_NS);
}

static bool shares_retry(struct hv *hv)
{
    struct hv_dom *d;
    bool left = false;

    for (d = hv->doms; d; d = d->next) {
        struct hv_share **at = &d->shares;

        while (*at) {
            struct hv_share *s = *at;

            if (gnttab_end_share(d, s)) {
                *at = s->next;
                free(s);
            } else {
                at = &s->next;
                left = true;
            }
        }
    }
    return left;
}

static void ticked(struct evloop_timer *t)
{
    struct hv *hv = t->user;
    bool left = process_release_pending(hv);

    left |= shares_retry(hv);
    left |= evtchn_check_tokens(hv);
    domain_reap(hv);
    if (left)
        hv_tick_later(hv);
}

static void signalled(struct evloop_fd *w, uint32_t events)
{
    struct hv *hv = w->user;
    struct signalfd_siginfo si;

    if (read(w->fd, &si, sizeof(si)) == (ssize_t)sizeof(si))
        evloop_stop(hv->loop, 0);
}

static int signals_init(struct hv *hv)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    if (sigprocmask(SIG_BLOCK, &set, NULL))
        return -errno;
    hv->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (hv->signal_fd < 0)
        return -errno;
    hv->signal_watch = (struct evloop_fd){.fd = hv->signal_fd, .ready = signalled, .user = hv};
    return evloop_add(hv->loop, &hv->signal_watch, EPOLLIN);
}

static int dom0_init(struct hv *hv, const struct hv_config *own)
{
    const struct sim_dom_config cfg = {
        .arch = own->dom0_arch,
        .nr_vcpus = 1,
        .privileged = 1,
        .unclaimed = own->dom0_arch == SIM_ARCH_ARM ? SIM_UNCLAIMED_ABORT : SIM_UNCLAIMED_ONES,
        .ram_bytes = own->dom0_ram_bytes,
    };
    uint16_t domid;

    return domain_create(hv, &cfg, true, &domid);
}

int hv_init(struct hv *hv, const struct hv_config *cfg, char *why, size_t why_size)
{
    const char *what = "event loop";
    int rc;

    memset(hv, 0, sizeof(*hv));
    hv->listen_fd = hv->signal_fd = hv->run_fd = -1;
    hv->tick = (struct evloop_timer){.fired = ticked, .user = hv};

    rc = evloop_create(&hv->loop);
    if (rc)
        goto out;
    what = "signals";
    rc = signals_init(hv);
    if (rc)
        goto out;
    hv->scratch = calloc(SIM_GREFS_MAX, sizeof(*hv->scratch));
    what = "memory";
    if (!hv->scratch) {
        rc = -ENOMEM;
        goto out;
    }
    what = cfg->run_dir;
    hv->run_fd = open(cfg->run_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (hv->run_fd < 0) {
        rc = -errno;
        goto out;
    }
    what = "domain 0";
    rc = dom0_init(hv, cfg);
    if (rc)
        goto out;
    return server_listen(hv, why, why_size);
out:
    snprintf(why, why_size, "%s: %s", what, strerror(-rc));
    return rc;
}

int hv_run(struct hv *hv)
{
    return evloop_run(hv->loop);
}

/* A starter that was killed leaves hv to tidy up: what of the simulation is not a log. */
static void run_dir_clean(struct hv *hv)
{
    static const char *const files[] = {
        "hv.sock",
        "xenstored/socket",
        "xenstored/xsd_kva",
        "xenstored/xsd_port",
    };
    size_t i;

    for (i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        unlinkat(hv->run_fd, files[i], 0);
    unlinkat(hv->run_fd, "xenstored", AT_REMOVEDIR);
}

void hv_fini(struct hv *hv)
{
    if (hv->bound)
        run_dir_clean(hv);
    while (hv->procs)
        process_free(hv, hv->procs);
    while (hv->doms)
        domain_free(hv, hv->doms);
    if (hv->listen_fd >= 0)
        close(hv->listen_fd);
    if (hv->signal_fd >= 0)
        close(hv->signal_fd);
    if (hv->run_fd >= 0)
        close(hv->run_fd);
    free(hv->scratch);
    evloop_destroy(hv->loop);
}
