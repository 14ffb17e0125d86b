/* SPDX-License-Identifier: MIT */
/*
 * A network device behind Linux's virtio_net. Its wire is a TAP of the backend's domain, whose
 * kernel answers echo requests: what is in a request comes back byte by byte, through both queues.
 */
#include "stock/device.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define ECHOES     48u
#define IN_FLIGHT  8u
#define BYTES_MAX  4000u /* three fragments at an MTU of 1500 */
#define ANSWER_MS  20000
#define IDENT      0x5250u
#define PACKET_MAX (60 + sizeof(struct icmphdr) + BYTES_MAX)

/* Lengths around the MTU and around what fits a page. */
static const unsigned lengths[] = {0, 1, 56, 1471, 1472, 1473, 2957, BYTES_MAX};

struct talk {
    char interface[IFNAMSIZ];
    char own[16], peer[16];
    unsigned echoed, wrong;
};

static int set_address(int fd, struct ifreq *ifr, unsigned long request, const char *address)
{
    struct sockaddr_in *in = (struct sockaddr_in *)&ifr->ifr_addr;

    *in = (struct sockaddr_in){.sin_family = AF_INET};
    if (inet_pton(AF_INET, address, &in->sin_addr) != 1)
        return EINVAL;
    return ioctl(fd, request, ifr) ? errno : 0;
}

static int bring_up(const struct talk *x)
{
    struct ifreq ifr = {.ifr_flags = 0};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), err;

    if (fd < 0)
        return errno;
    memcpy(ifr.ifr_name, x->interface, sizeof(ifr.ifr_name));
    err = set_address(fd, &ifr, SIOCSIFADDR, x->own);
    if (!err)
        err = set_address(fd, &ifr, SIOCSIFNETMASK, "255.255.255.0");
    if (!err && ioctl(fd, SIOCGIFFLAGS, &ifr))
        err = errno;
    ifr.ifr_flags |= IFF_UP;
    if (!err && ioctl(fd, SIOCSIFFLAGS, &ifr))
        err = errno;
    close(fd);
    return err;
}

static uint8_t payload_byte(unsigned seq, unsigned at)
{
    return (uint8_t)(seq * 31 + at * 7 + at / 251);
}

static uint16_t checksum(const uint8_t *p, size_t bytes)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < bytes; i++)
        sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return htons((uint16_t)~sum);
}

static int send_echo(int fd, unsigned seq)
{
    uint8_t packet[sizeof(struct icmphdr) + BYTES_MAX];
    unsigned bytes = lengths[seq % (sizeof(lengths) / sizeof(lengths[0]))];
    struct icmphdr h = {.type = ICMP_ECHO};

    h.un.echo.id = htons(IDENT);
    h.un.echo.sequence = htons((uint16_t)seq);
    memcpy(packet, &h, sizeof(h));
    for (unsigned i = 0; i < bytes; i++)
        packet[sizeof(h) + i] = payload_byte(seq, i);
    h.checksum = checksum(packet, sizeof(h) + bytes);
    memcpy(packet, &h, sizeof(h));
    return send(fd, packet, sizeof(h) + bytes, 0) < 0 ? errno : 0;
}

/* True for one of our replies, whole; its bytes are looked at. */
static bool take_reply(struct talk *x, const uint8_t *packet, size_t bytes)
{
    size_t head = bytes ? (size_t)(packet[0] & 0xf) * 4 : 0;
    struct icmphdr h;
    unsigned seq;

    if (bytes < head + sizeof(h))
        return false;
    memcpy(&h, packet + head, sizeof(h));
    seq = ntohs(h.un.echo.sequence);
    if (h.type != ICMP_ECHOREPLY || h.un.echo.id != htons(IDENT) || seq >= ECHOES)
        return false;
    packet += head + sizeof(h);
    bytes -= head + sizeof(h);
    x->wrong += bytes != lengths[seq % (sizeof(lengths) / sizeof(lengths[0]))];
    for (size_t i = 0; i < bytes; i++) {
        if (packet[i] == payload_byte(seq, (unsigned)i))
            continue;
        x->wrong++;
        break;
    }
    return true;
}

static int echo(void *arg)
{
    struct talk *x = arg;
    struct sockaddr_in peer = {.sin_family = AF_INET};
    uint8_t packet[PACKET_MAX];
    unsigned sent = 0;
    int err = bring_up(x), fd;

    if (err)
        return err;
    fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
    if (fd < 0)
        return errno;
    if (inet_pton(AF_INET, x->peer, &peer.sin_addr) != 1 ||
        connect(fd, (const struct sockaddr *)&peer, sizeof(peer)))
        err = errno;
    while (!err && x->echoed < ECHOES) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        ssize_t n;

        if (sent < ECHOES && sent - x->echoed < IN_FLIGHT) {
            err = send_echo(fd, sent++);
            continue;
        }
        if (poll(&p, 1, ANSWER_MS) <= 0) {
            err = ETIMEDOUT;
            continue;
        }
        n = recv(fd, packet, sizeof(packet), 0);
        if (n < 0)
            err = errno == EINTR ? 0 : errno;
        else
            x->echoed += take_reply(x, packet, (size_t)n);
    }
    close(fd);
    return err;
}

void stock_exercise_net(struct stock *s)
{
    struct talk *x = stock_memory(s, sizeof(*x));
    int err;

    snprintf(x->interface, sizeof(x->interface), "%.15s", s->node);
    snprintf(x->own, sizeof(x->own), "%.15s", stock_info_text(s, "address"));
    snprintf(x->peer, sizeof(x->peer), "%.15s", stock_info_text(s, "peer_address"));
    err = stock_do(s, "echo requests over the network device", echo, x);
    expect(s->t, MUST, err == 0, "after %u of %u echoes: %s", x->echoed, ECHOES, strerror(err));
    expect_eq(s->t, MUST, x->wrong, 0, "echoes with other bytes than were sent");
    if (err)
        stop_check(s->t);
}
