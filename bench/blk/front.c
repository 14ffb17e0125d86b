/* SPDX-License-Identifier: MIT */
#include "blkbench/front.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "device/vhost_ask.h"
#include "spec/virtio.h"
#include "util/bits.h"

#define PAGE_BYTES 4096u
/* Not what the same byte is called by anybody else. */
#define GUEST_BASE UINT64_C(0x100000000)

int front_init(struct front *f, const struct front_config *config)
{
    struct virtq_layout layout;
    uint64_t driver, device, data;
    int rc = virtq_layout_init(&layout, config->format, config->size);

    *f = (struct front){.fd = -1, .kick = -1, .call = -1, .memory_fd = -1, .config = *config};
    if (rc)
        return rc;
    driver = align_up(layout.desc_bytes, PAGE_BYTES);
    device = driver + align_up(layout.driver_bytes, PAGE_BYTES);
    data = device + align_up(layout.device_bytes, PAGE_BYTES);
    f->bytes = align_up(data + config->data_bytes, PAGE_BYTES);
    f->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    f->call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    f->memory_fd = memfd_create("ringproof-blk", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (f->kick < 0 || f->call < 0 || f->memory_fd < 0 ||
        ftruncate(f->memory_fd, (off_t)f->bytes) ||
        fcntl(f->memory_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW))
        return -errno;
    f->memory =
        mmap(NULL, f->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, f->memory_fd, 0);
    if (f->memory == MAP_FAILED) {
        f->memory = NULL;
        return -errno;
    }
    f->areas = (struct virtq_areas){f->memory, f->memory + driver, f->memory + device};
    f->data = f->memory + data;
    return 0;
}

void front_fini(struct front *f)
{
    const int fds[] = {f->fd, f->kick, f->call, f->memory_fd};

    for (unsigned i = 0; i < ARRAY_LENGTH(fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
    if (f->memory)
        munmap(f->memory, f->bytes);
    *f = (struct front){.fd = -1, .kick = -1, .call = -1, .memory_fd = -1};
}

gpa_t front_guest_addr(const struct front *f, const void *va)
{
    return gpa_make(GUEST_BASE + (uint64_t)((const unsigned char *)va - f->memory));
}

void front_kick(const struct front *f)
{
    const uint64_t one = 1;
    ssize_t done = write(f->kick, &one, sizeof(one)); /* one that is not waited for adds up */

    (void)done;
}

static int agree(struct front *f)
{
    const uint64_t own = VIRTIO_F(VIRTIO_F_VERSION_1) | VIRTIO_F(VHOST_USER_F_PROTOCOL_FEATURES) |
                         (f->config.event_idx ? VIRTIO_F(VIRTIO_F_EVENT_IDX) : 0) |
                         (f->config.format == VIRTQ_PACKED ? VIRTIO_F(VIRTIO_F_RING_PACKED) : 0);
    const uint64_t protocol =
        BIT64(VHOST_USER_PROTOCOL_F_REPLY_ACK) | BIT64(VHOST_USER_PROTOCOL_F_CONFIG);
    struct vhost_message owner = {.h = {.request = VHOST_USER_SET_OWNER}};
    uint64_t theirs = 0;
    int rc = vhost_ask_number(f->fd, VHOST_USER_GET_FEATURES, &theirs);

    if (!rc && own & ~theirs)
        return -EOPNOTSUPP;
    if (!rc)
        rc = vhost_ask_number(f->fd, VHOST_USER_GET_PROTOCOL_FEATURES, &theirs);
    if (!rc && protocol & ~theirs)
        return -EOPNOTSUPP;
    if (!rc)
        rc = vhost_tell_number(f->fd, VHOST_USER_SET_PROTOCOL_FEATURES, protocol);
    if (!rc)
        rc = vhost_get_config(f->fd, sizeof(f->device_config), f->device_config);
    if (!rc)
        rc = vhost_tell(f->fd, &owner);
    return rc ? rc : vhost_tell_number(f->fd, VHOST_USER_SET_FEATURES, own);
}

static int share(struct front *f)
{
    struct vhost_message m = {
        .h = {.request = VHOST_USER_SET_MEM_TABLE,
              .size = VHOST_USER_MEMORY_HEAD + sizeof(struct vhost_user_plain_region)},
        .p.plain_memory = {.count = 1,
                           .regions = {{.guest_addr = GUEST_BASE,
                                        .size = f->bytes,
                                        .user_addr = (uintptr_t)f->memory}}},
        .fds = {f->memory_fd},
        .fd_count = 1};

    return vhost_tell(f->fd, &m);
}

int front_negotiate(struct front *f, int fd)
{
    int rc;

    f->fd = fd;
    rc = agree(f);
    return rc ? rc : share(f);
}

int front_go(struct front *f)
{
    struct vhost_message addr = {
        .h = {.request = VHOST_USER_SET_VRING_ADDR, .size = sizeof(addr.p.addr)},
        .p.addr = {.desc = (uintptr_t)f->areas.desc,
                   .used = (uintptr_t)f->areas.device,
                   .avail = (uintptr_t)f->areas.driver}};
    const uint32_t base = f->config.format == VIRTQ_PACKED ? VHOST_USER_PACKED_BASE : 0;
    int rc = vhost_tell_vring(f->fd, VHOST_USER_SET_VRING_NUM, 0, f->config.size);

    if (!rc)
        rc = vhost_tell_vring(f->fd, VHOST_USER_SET_VRING_BASE, 0, base);
    if (!rc)
        rc = vhost_tell(f->fd, &addr);
    if (!rc)
        rc = vhost_tell_descriptor(f->fd, VHOST_USER_SET_VRING_CALL, 0, f->call);
    if (!rc)
        rc = vhost_tell_descriptor(f->fd, VHOST_USER_SET_VRING_KICK, 0, f->kick);
    if (!rc)
        rc = vhost_tell_vring(f->fd, VHOST_USER_SET_VRING_ENABLE, 0, 1);
    f->runs = rc == 0;
    return rc;
}

int front_stop(struct front *f)
{
    struct vhost_message m = {
        .h = {.request = VHOST_USER_GET_VRING_BASE, .size = sizeof(m.p.state)}};
    bool runs = f->runs;

    f->runs = false;
    return runs ? vhost_ask(f->fd, &m) : 0;
}
