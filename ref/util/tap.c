/* SPDX-License-Identifier: MIT */
#include "util/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/bits.h"

#define TUN_PATH "/dev/net/tun"

/* Linux 6.2, not yet in older headers. The kernel takes both or neither. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

static const struct {
    unsigned offload, tun;
} offload_bits[] = {
    {TAP_OFFLOAD_CSUM, TUN_F_CSUM},
    {TAP_OFFLOAD_TSO4, TUN_F_TSO4},
    {TAP_OFFLOAD_TSO6, TUN_F_TSO6},
    {TAP_OFFLOAD_ECN, TUN_F_TSO_ECN},
    {TAP_OFFLOAD_USO, TUN_F_USO4 | TUN_F_USO6},
};

int tap_set_offloads(int fd, unsigned offloads)
{
    unsigned long tun = 0;

    for (size_t i = 0; i < ARRAY_LENGTH(offload_bits); i++)
        if (offloads & offload_bits[i].offload)
            tun |= offload_bits[i].tun;
    return ioctl(fd, TUNSETOFFLOAD, tun) ? -errno : 0;
}

unsigned tap_offloads(int fd)
{
    unsigned has = TAP_OFFLOAD_CSUM;

    if (tap_set_offloads(fd, has))
        return 0;
    for (size_t i = 0; i < ARRAY_LENGTH(offload_bits); i++)
        if (!tap_set_offloads(fd, has | offload_bits[i].offload))
            has |= offload_bits[i].offload;
    return tap_set_offloads(fd, 0) ? 0 : has;
}

int tap_queue_attach(int fd, bool attach)
{
    struct ifreq ifr;

    memset(&ifr, 0, sizeof(ifr));
    ifr.ifr_flags = attach ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE;
    return ioctl(fd, TUNSETQUEUE, &ifr) ? -errno : 0;
}

static int header_size(int fd)
{
    int bytes = TAP_HEADER_BYTES;

    return ioctl(fd, TUNSETVNETHDRSZ, &bytes) ? -errno : 0;
}

static int queue_open(const char *name, short flags)
{
    struct ifreq ifr;
    int fd = open(TUN_PATH, O_RDWR | O_CLOEXEC | O_NONBLOCK), rc;

    if (fd < 0)
        return -errno;
    memset(&ifr, 0, sizeof(ifr));
    memcpy(ifr.ifr_name, name, strlen(name));
    ifr.ifr_flags = flags;
    rc = ioctl(fd, TUNSETIFF, &ifr) ? -errno : header_size(fd);
    if (rc) {
        close(fd);
        return rc;
    }
    return fd;
}

int tap_open(const char *name, unsigned queues, int *fds, char *error, size_t error_bytes)
{
    short flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
    unsigned n = 0;
    int rc = 0;

    if (!*name || strlen(name) >= TAP_NAME_BYTES) {
        snprintf(error, error_bytes, "\"%.40s\" is no name of an interface", name);
        return -EINVAL;
    }
    if (queues > 1)
        flags |= IFF_MULTI_QUEUE;
    while (!rc && n < queues) {
        fds[n] = queue_open(name, flags);
        /* A persistent interface may have been made for several queues. */
        if (fds[n] == -EINVAL && queues == 1)
            fds[n] = queue_open(name, flags | IFF_MULTI_QUEUE);
        if (fds[n] < 0)
            rc = fds[n];
        else
            n++;
    }
    if (!rc)
        return 0;
    while (n)
        close(fds[--n]);
    if (rc == -EPERM)
        snprintf(error, error_bytes, "TAP %s: %s (CAP_NET_ADMIN is needed)", name, strerror(-rc));
    else if (rc == -ENOENT || rc == -ENODEV || rc == -EACCES)
        snprintf(error, error_bytes, TUN_PATH ": %s", strerror(-rc));
    else
        snprintf(error, error_bytes, "TAP %s: %s", name, strerror(-rc));
    return rc;
}

int tap_adopt(int fd, char *error, size_t error_bytes)
{
    struct ifreq ifr;
    int flags = fcntl(fd, F_GETFL), rc;

    memset(&ifr, 0, sizeof(ifr));
    if (flags < 0 || ioctl(fd, TUNGETIFF, &ifr) || !(ifr.ifr_flags & IFF_TAP) ||
        !(ifr.ifr_flags & IFF_VNET_HDR)) {
        snprintf(error, error_bytes, "descriptor %d is no TAP with IFF_VNET_HDR", fd);
        return -EINVAL;
    }
    rc = fcntl(fd, F_SETFL, flags | O_NONBLOCK) ? -errno : header_size(fd);
    if (rc)
        snprintf(error, error_bytes, "descriptor %d: %s", fd, strerror(-rc));
    return rc;
}

int tap_set_carrier(int fd, bool up)
{
    int value = up;

    return ioctl(fd, TUNSETCARRIER, &value) ? -errno : 0;
}

static int interface_set(const char *name, unsigned long request, struct ifreq *ifr)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), rc;

    if (fd < 0)
        return -errno;
    if (strlen(name) >= sizeof(ifr->ifr_name)) {
        close(fd);
        return -EINVAL;
    }
    strcpy(ifr->ifr_name, name);
    rc = ioctl(fd, request, ifr) ? -errno : 0;
    close(fd);
    return rc;
}

int tap_set_mac(const char *name, const uint8_t mac[6])
{
    struct ifreq ifr;

    memset(&ifr, 0, sizeof(ifr));
    ifr.ifr_hwaddr.sa_family = ARPHRD_ETHER;
    memcpy(ifr.ifr_hwaddr.sa_data, mac, 6);
    return interface_set(name, SIOCSIFHWADDR, &ifr);
}

int tap_set_mtu(const char *name, unsigned mtu_bytes)
{
    struct ifreq ifr;

    memset(&ifr, 0, sizeof(ifr));
    ifr.ifr_mtu = (int)mtu_bytes;
    return interface_set(name, SIOCSIFMTU, &ifr);
}
