/* SPDX-License-Identifier: MIT */
#include "frontend/virtio_mmio.h"

#include <errno.h>
#include <stdlib.h>

#include "spec/virtio.h"

static struct fe_virtio_mmio *vmmio_of(struct fe_virtio *v)
{
    return (struct fe_virtio_mmio *)v; /* the first member */
}

static int vmmio_access(unsigned offset, unsigned bytes)
{
    return bytes > VIRTIO_MMIO_BYTES || offset > VIRTIO_MMIO_BYTES - bytes ? -ERANGE : 0;
}

int fe_vmmio_read(struct fe_virtio_mmio *m, unsigned offset, unsigned bytes, uint64_t *value)
{
    struct fe_platform *p = m->virtio.platform;
    int rc = vmmio_access(offset, bytes);

    if (rc)
        return rc;
    return p->ops->mmio_read(p, m->virtio.vcpu, m->window.base + offset, bytes, value);
}

int fe_vmmio_write(struct fe_virtio_mmio *m, unsigned offset, unsigned bytes, uint64_t value)
{
    struct fe_platform *p = m->virtio.platform;
    int rc = vmmio_access(offset, bytes);

    if (rc)
        return rc;
    return p->ops->mmio_write(p, m->virtio.vcpu, m->window.base + offset, bytes, value);
}

/* Control registers: 32 bits (4.2.2.2). */
static int vmmio_get(struct fe_virtio *v, unsigned offset, uint32_t *value)
{
    uint64_t wide;
    int rc = fe_vmmio_read(vmmio_of(v), offset, 4, &wide);

    if (rc == 0)
        *value = (uint32_t)wide;
    return rc;
}

static int vmmio_set(struct fe_virtio *v, unsigned offset, uint32_t value)
{
    return fe_vmmio_write(vmmio_of(v), offset, 4, value);
}

/* ---- ops ---- */

static int vmmio_status_read(struct fe_virtio *v, uint8_t *status)
{
    uint32_t value;
    int rc = vmmio_get(v, FE_VMMIO_REG(status), &value);

    if (rc == 0)
        *status = (uint8_t)value;
    return rc;
}

static int vmmio_status_write(struct fe_virtio *v, uint8_t status)
{
    return vmmio_set(v, FE_VMMIO_REG(status), status);
}

static int vmmio_device_features(struct fe_virtio *v, unsigned word, uint32_t *bits)
{
    int rc = vmmio_set(v, FE_VMMIO_REG(device_features_sel), word);

    return rc ? rc : vmmio_get(v, FE_VMMIO_REG(device_features), bits);
}

static int vmmio_driver_features(struct fe_virtio *v, unsigned word, uint32_t bits)
{
    int rc = vmmio_set(v, FE_VMMIO_REG(driver_features_sel), word);

    return rc ? rc : vmmio_set(v, FE_VMMIO_REG(driver_features), bits);
}

/* The register is for writing only. */
static int vmmio_driver_features_read(struct fe_virtio *v, unsigned word, uint32_t *bits)
{
    (void)v;
    (void)word;
    (void)bits;
    return -EOPNOTSUPP;
}

static int vmmio_queue_size_max(struct fe_virtio *v, unsigned queue, uint16_t *size)
{
    uint32_t value;
    int rc = vmmio_set(v, FE_VMMIO_REG(queue_sel), queue);

    if (rc)
        return rc;
    rc = vmmio_get(v, FE_VMMIO_REG(queue_size_max), &value);
    if (rc == 0)
        *size = value > UINT16_MAX ? UINT16_MAX : (uint16_t)value;
    return rc;
}

/* No register says how many there are: they are those before the first that has no size. */
static int vmmio_num_queues(struct fe_virtio *v, unsigned *n)
{
    struct fe_virtio_mmio *m = vmmio_of(v);
    unsigned count = m->queues;

    while (!m->queues && count < FE_VIRTIO_QUEUES_MAX) {
        uint16_t size;
        int rc = vmmio_queue_size_max(v, count, &size);

        if (rc)
            return rc;
        if (size == 0)
            break;
        count++;
    }
    *n = m->queues = count;
    return 0;
}

static int vmmio_set64(struct fe_virtio *v, unsigned low, gpa_t addr)
{
    int rc = vmmio_set(v, low, (uint32_t)addr.raw);

    return rc ? rc : vmmio_set(v, low + 4, (uint32_t)(addr.raw >> 32));
}

static int vmmio_queue_setup(struct fe_virtio *v, unsigned queue, const struct fe_queue_setup *s)
{
    uint32_t ready;
    int rc = vmmio_set(v, FE_VMMIO_REG(queue_sel), queue);

    if (rc)
        return rc;
    /* The registers of a queue that is in use must not be touched (4.2.2.2). */
    rc = vmmio_get(v, FE_VMMIO_REG(queue_ready), &ready);
    if (rc)
        return rc;
    if (ready)
        return -EBUSY;
    rc = vmmio_set(v, FE_VMMIO_REG(queue_size), s->size);
    if (rc)
        return rc;
    rc = vmmio_set64(v, FE_VMMIO_REG(queue_desc_low), s->desc);
    if (rc)
        return rc;
    rc = vmmio_set64(v, FE_VMMIO_REG(queue_driver_low), s->driver);
    if (rc)
        return rc;
    rc = vmmio_set64(v, FE_VMMIO_REG(queue_device_low), s->device);
    if (rc)
        return rc;
    return vmmio_set(v, FE_VMMIO_REG(queue_ready), 1);
}

static int vmmio_notify(struct fe_virtio *v, unsigned vcpu, unsigned queue, uint16_t next)
{
    struct fe_virtio_mmio *m = vmmio_of(v);
    uint32_t value = queue;

    if (v->features & VIRTIO_F(VIRTIO_F_NOTIFICATION_DATA))
        value |= (uint32_t)next << VIRTIO_NOTIFY_NEXT_OFF_SHIFT;
    return v->platform->ops->mmio_write(v->platform, vcpu,
                                        m->window.base + FE_VMMIO_REG(queue_notify), 4, value);
}

static int vmmio_isr_read(struct fe_virtio *v, unsigned vcpu, uint8_t *isr)
{
    const uint32_t defined = VIRTIO_MMIO_INT_QUEUE | VIRTIO_MMIO_INT_CONFIG;
    struct fe_platform *p = v->platform;
    uint64_t base = vmmio_of(v)->window.base, value;
    int rc = p->ops->mmio_read(p, vcpu, base + FE_VMMIO_REG(interrupt_status), 4, &value);

    if (rc)
        return rc;
    /* Undefined bits are ignored, and never acknowledged (4.2.2.2). */
    value &= defined;
    if (value)
        rc = p->ops->mmio_write(p, vcpu, base + FE_VMMIO_REG(interrupt_ack), 4, value);
    *isr = (uint8_t)value;
    return rc;
}

static int vmmio_config_vector(struct fe_virtio *v, uint16_t vector)
{
    (void)v;
    return vector == FE_NO_VECTOR ? 0 : -EINVAL;
}

static int vmmio_config_generation(struct fe_virtio *v, uint32_t *generation)
{
    return vmmio_get(v, FE_VMMIO_REG(config_generation), generation);
}

static int vmmio_config_read(struct fe_virtio *v, unsigned offset, unsigned bytes, uint64_t *value)
{
    return fe_vmmio_read(vmmio_of(v), VIRTIO_MMIO_CONFIG + offset, bytes, value);
}

static int vmmio_config_write(struct fe_virtio *v, unsigned offset, unsigned bytes, uint64_t value)
{
    return fe_vmmio_write(vmmio_of(v), VIRTIO_MMIO_CONFIG + offset, bytes, value);
}

static int vmmio_irq_get(struct fe_virtio *v, unsigned vcpu, uint16_t *vector, fe_irq_t *irq)
{
    (void)vcpu; /* a line goes where the interrupt controller sends it */
    *vector = FE_NO_VECTOR;
    return v->platform->ops->irq_line(v->platform, vmmio_of(v)->window.line, irq);
}

static void vmmio_irq_put(struct fe_virtio *v, uint16_t vector, fe_irq_t irq)
{
    (void)vector;
    if (irq)
        v->platform->ops->irq_free(v->platform, irq);
}

/* What answers at the window: 0 and its device ID. */
static int vmmio_identify(struct fe_virtio *v, uint32_t *device_id)
{
    uint32_t value;
    int rc = vmmio_get(v, FE_VMMIO_REG(magic_value), &value);

    if (rc == 0 && value != VIRTIO_MMIO_MAGIC)
        rc = -ENODEV;
    if (rc)
        return rc == -EFAULT ? -ENODEV : rc;
    rc = vmmio_get(v, FE_VMMIO_REG(version), &value);
    if (rc)
        return rc;
    if (value != VIRTIO_MMIO_VERSION)
        return -ENOTSUP;
    rc = vmmio_get(v, FE_VMMIO_REG(device_id), device_id);
    if (rc)
        return rc;
    return *device_id ? 0 : -ENODEV;
}

static int vmmio_present(struct fe_virtio *v)
{
    uint32_t magic;
    int rc = vmmio_get(v, FE_VMMIO_REG(magic_value), &magic);

    if (rc == -EFAULT || (rc == 0 && magic != VIRTIO_MMIO_MAGIC))
        return -ENODEV;
    return rc;
}

static int vmmio_reattach(struct fe_virtio *v)
{
    uint32_t device_id;
    int rc = vmmio_identify(v, &device_id);

    if (rc)
        return rc;
    vmmio_of(v)->queues = 0;
    return device_id == v->device_id ? 0 : -ENODEV;
}

static void vmmio_destroy(struct fe_virtio *v)
{
    free(vmmio_of(v));
}

static const struct fe_virtio_ops vmmio_ops = {
    .name = "virtio-mmio",
    .status_read = vmmio_status_read,
    .status_write = vmmio_status_write,
    .device_features = vmmio_device_features,
    .driver_features = vmmio_driver_features,
    .driver_features_read = vmmio_driver_features_read,
    .num_queues = vmmio_num_queues,
    .queue_size_max = vmmio_queue_size_max,
    .queue_setup = vmmio_queue_setup,
    .notify = vmmio_notify,
    .isr_read = vmmio_isr_read,
    .config_vector = vmmio_config_vector,
    .config_generation = vmmio_config_generation,
    .config_read = vmmio_config_read,
    .config_write = vmmio_config_write,
    .irq_get = vmmio_irq_get,
    .irq_put = vmmio_irq_put,
    .reattach = vmmio_reattach,
    .present = vmmio_present,
    .destroy = vmmio_destroy,
};

struct fe_virtio_mmio *fe_virtio_mmio_of(struct fe_virtio *v)
{
    return v && v->ops == &vmmio_ops ? vmmio_of(v) : NULL;
}

int fe_virtio_mmio_create(struct fe_platform *p, const struct mmio_window *w,
                          struct fe_virtio_mmio **out)
{
    struct fe_virtio_mmio *m = calloc(1, sizeof(*m));
    int rc;

    *out = NULL;
    if (!m)
        return -ENOMEM;
    m->virtio.ops = &vmmio_ops;
    m->virtio.platform = p;
    m->virtio.config_bytes = VIRTIO_MMIO_BYTES - VIRTIO_MMIO_CONFIG;
    m->window = *w;
    rc = vmmio_identify(&m->virtio, &m->virtio.device_id);
    if (rc)
        free(m);
    else
        *out = m;
    return rc;
}
