/* SPDX-License-Identifier: MIT */
#include "runner/wire_end.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "testbed/wire.h"

#define NET_HEADER_BYTES 12u
#define NET_HEAD_BYTES   256u

static int hex_decode(const char *text, uint8_t *to, size_t room, size_t *bytes)
{
    size_t n = text ? strlen(text) / 2 : 0;

    if (n > room || (text && strlen(text) % 2))
        return -EINVAL;
    for (size_t i = 0; i < n; i++) {
        unsigned v;

        if (sscanf(text + 2 * i, "%2x", &v) != 1)
            return -EINVAL;
        to[i] = (uint8_t)v;
    }
    *bytes = n;
    return 0;
}

static void hex_encode(const uint8_t *from, size_t bytes, char *to)
{
    *to = 0;
    for (size_t i = 0; i < bytes; i++)
        sprintf(to + 2 * i, "%02x", from[i]);
}

/* The device's end is gone: the subject's doing, not an error of the testbed. */
static bool is_cut(int ret)
{
    return ret == -ENOTCONN || ret == -EPIPE || ret == -ECONNRESET;
}

int wire_end_send(struct session *s, const json_t *args, json_t **value)
{
    const char *head = json_string_value(json_object_get(args, "head"));
    const char *header = json_string_value(json_object_get(args, "header"));
    json_int_t total = json_integer_value(json_object_get(args, "bytes"));
    json_int_t seed = json_integer_value(json_object_get(args, "seed"));
    json_int_t count = json_integer_value(json_object_get(args, "count")), sent;
    uint8_t packet[WIRE_PACKET_MAX] = {0};
    uint8_t *frame = packet + NET_HEADER_BYTES;
    size_t given = 0, ignored;
    int ret = hex_decode(header, packet, NET_HEADER_BYTES, &ignored);

    if (!ret)
        ret = hex_decode(head, frame, WIRE_PACKET_MAX - NET_HEADER_BYTES, &given);
    if (ret || total < 0 || total > (json_int_t)(WIRE_PACKET_MAX - NET_HEADER_BYTES))
        return testbed_fail(s->cell, -EINVAL, "net.send: this is no frame");
    if ((size_t)total < given)
        total = (json_int_t)given;
    for (sent = 0; sent < (count ? count : 1); sent++) {
        for (size_t i = given; i < (size_t)total; i++)
            frame[i] = (uint8_t)(31 * i + 7 * (i >> 8) + (size_t)(seed + sent));
        ret = wire_send(s->wire, packet, NET_HEADER_BYTES + (size_t)total);
        if (ret)
            break;
    }
    if (ret && ret != -EAGAIN && !is_cut(ret))
        return ret;
    *value = json_pack("{s:I, s:b}", "sent", sent, "cut", is_cut(ret));
    return 0;
}

int wire_end_recv(struct session *s, const json_t *args, json_t **value)
{
    uint64_t timeout_ms = (uint64_t)json_integer_value(json_object_get(args, "timeout_ms"));
    char header[2 * NET_HEADER_BYTES + 1] = "", head[2 * NET_HEAD_BYTES + 1] = "", sum[17] = "";
    uint8_t packet[WIRE_PACKET_MAX];
    uint64_t hash = 0xcbf29ce484222325u;
    size_t bytes = sizeof(packet);
    int ret = wire_recv(s->wire, packet, &bytes, timeout_ms * 1000000);

    if (ret == -EAGAIN || is_cut(ret))
        bytes = 0;
    else if (ret)
        return ret;
    else if (bytes < NET_HEADER_BYTES)
        return testbed_fail(s->cell, -EPROTO, "the backend sent %zu bytes", bytes);
    if (bytes) {
        bytes -= NET_HEADER_BYTES;
        hex_encode(packet, NET_HEADER_BYTES, header);
        hex_encode(packet + NET_HEADER_BYTES, bytes < NET_HEAD_BYTES ? bytes : NET_HEAD_BYTES,
                   head);
    }
    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ packet[NET_HEADER_BYTES + i]) * 0x100000001b3u;
    snprintf(sum, sizeof(sum), "%016" PRIx64, hash);
    *value = json_pack("{s:I, s:s, s:s, s:s, s:b}", "bytes", (json_int_t)bytes, "header", header,
                       "head", head, "sum", sum, "cut", is_cut(ret));
    return 0;
}

int wire_end_link(struct session *s, const json_t *args, json_t **value)
{
    wire_end_unplug(s);
    return json_is_true(json_object_get(args, "up")) ? wire_end_plug_in(s) : 0;
}

int wire_end_plug_in(struct session *s)
{
    char *path;
    int ret;

    wire_end_unplug(s);
    if (!testbed_has_wire(s->cell))
        return testbed_fail(s->cell, -EOPNOTSUPP,
                            "not supported: the other end of a wire is out of reach");
    path = testbed_wire_path(s->cell, 0);
    ret = path ? wire_connect(path, &s->wire) : -ENOMEM;
    if (ret)
        testbed_fail(s->cell, ret, "the wire %s: %s", path ? path : "", strerror(-ret));
    free(path);
    return ret;
}

void wire_end_unplug(struct session *s)
{
    if (s->wire)
        close(s->wire);
    s->wire = 0;
}
