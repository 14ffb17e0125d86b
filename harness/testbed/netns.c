/* SPDX-License-Identifier: MIT */
#include "testbed/netns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define OWN_NETNS "/proc/self/ns/net"

static int write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC), ret = 0;

    if (fd < 0)
        return -errno;
    if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
        ret = -errno;
    close(fd);
    return ret;
}

int netns_isolate(char *why, size_t why_size)
{
    unsigned uid = geteuid(), gid = getegid();
    char map[64];
    int ret;

    if (unshare(CLONE_NEWUSER | CLONE_NEWNET)) {
        ret = -errno;
        snprintf(why, why_size,
                 "no user and network namespace of its own: %s (sysctl user.max_user_namespaces, "
                 "user.max_net_namespaces, kernel.unprivileged_userns_clone; AppArmor's "
                 "kernel.apparmor_restrict_unprivileged_userns)",
                 strerror(-ret));
        return ret;
    }
    (void)write_file("/proc/self/setgroups", "deny");
    snprintf(map, sizeof(map), "0 %u 1", uid);
    ret = write_file("/proc/self/uid_map", map);
    snprintf(map, sizeof(map), "0 %u 1", gid);
    if (!ret)
        ret = write_file("/proc/self/gid_map", map);
    if (!ret)
        ret = netns_interface_up(0, "lo", NULL);
    if (ret)
        snprintf(why, why_size, "a user namespace that can do nothing: %s", strerror(-ret));
    return ret;
}

int netns_create(int *out)
{
    int own = open(OWN_NETNS, O_RDONLY | O_CLOEXEC), made = -1, ret = 0;

    if (own < 0)
        return -errno;
    if (unshare(CLONE_NEWNET)) {
        ret = -errno;
        goto out;
    }
    made = open(OWN_NETNS, O_RDONLY | O_CLOEXEC);
    if (made < 0)
        ret = -errno;
    if (setns(own, CLONE_NEWNET) && !ret)
        ret = -errno;
    if (!ret)
        ret = netns_interface_up(made, "lo", NULL);
    if (!ret)
        *out = made;
    else if (made >= 0)
        close(made);
out:
    close(own);
    return ret;
}

int netns_do(int fd, int (*f)(void *arg), void *arg)
{
    int own, ret;

    if (fd <= 0)
        return f(arg);
    own = open(OWN_NETNS, O_RDONLY | O_CLOEXEC);
    if (own < 0)
        return -errno;
    ret = setns(fd, CLONE_NEWNET) ? -errno : f(arg);
    if (setns(own, CLONE_NEWNET) && !ret)
        ret = -errno;
    close(own);
    return ret;
}

struct interface {
    const char *name, *address;
};

static int set_address(int fd, struct ifreq *ifr, unsigned long request, const char *address)
{
    struct sockaddr_in in = {.sin_family = AF_INET};

    if (inet_pton(AF_INET, address, &in.sin_addr) != 1)
        return -EINVAL;
    memcpy(&ifr->ifr_addr, &in, sizeof(in));
    return ioctl(fd, request, ifr) ? -errno : 0;
}

static int interface_up(void *arg)
{
    const struct interface *i = arg;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), ret = 0;
    struct ifreq ifr;

    if (fd < 0)
        return -errno;
    memset(&ifr, 0, sizeof(ifr));
    snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", i->name);
    if (i->address)
        ret = set_address(fd, &ifr, SIOCSIFADDR, i->address);
    if (!ret && i->address)
        ret = set_address(fd, &ifr, SIOCSIFNETMASK, "255.255.255.0");
    if (!ret && ioctl(fd, SIOCGIFFLAGS, &ifr))
        ret = -errno;
    ifr.ifr_flags |= IFF_UP;
    if (!ret && ioctl(fd, SIOCSIFFLAGS, &ifr))
        ret = -errno;
    close(fd);
    return ret;
}

int netns_interface_up(int fd, const char *name, const char *address)
{
    struct interface i = {name, address};

    return netns_do(fd, interface_up, &i);
}
