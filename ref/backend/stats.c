/* SPDX-License-Identifier: MIT */
#include "backend/stats.h"

#include <inttypes.h>

void stats_write(const struct stats_source *from, FILE *out)
{
    static const struct ioreq_stats none;
    const struct ioreq_stats *i = from->server ? ioreq_server_stats(from->server) : &none;
    const struct bridges_stats *b = bridges_get_stats(machine_bridges(from->machine));
    const struct windows_stats *w = windows_get_stats(machine_windows(from->machine));

    fprintf(out, "{\"domid\":%u,\"ioreq_server\":%d,\"adopted\":%s,", from->domid,
            from->server ? (int)ioreq_server_id(from->server) : -1,
            from->adopted ? "true" : "false");
    fprintf(out,
            "\"ioreq\":{\"events\":%" PRIu64 ",\"requests\":%" PRIu64 ",\"reads\":%" PRIu64
            ",\"writes\":%" PRIu64 ",\"config_reads\":%" PRIu64 ",\"config_writes\":%" PRIu64
            ",\"buffered\":%" PRIu64 ",\"invalidates\":%" PRIu64 ",\"refused\":%" PRIu64
            ",\"replayed\":%" PRIu64 "},",
            i->events, i->requests, i->reads, i->writes, i->config_reads, i->config_writes,
            i->buffered, i->invalidates, i->refused, i->replayed);
    fprintf(out,
            "\"interrupts\":{\"msi\":%" PRIu64 ",\"msi_failed\":%" PRIu64 ",\"intx\":%" PRIu64
            ",\"intx_failed\":%" PRIu64 ",\"line\":%" PRIu64 ",\"line_failed\":%" PRIu64
            "},\"unclaimed\":%" PRIu64 ",\"devices\":[",
            b->msi, b->msi_failed, b->intx, b->intx_failed, w->line, w->line_failed, b->unclaimed);
    for (unsigned d = 0; d < from->device_count; d++) {
        if (d)
            fputc(',', out);
        device_stats_json(from->devices[d], out);
    }
    fputs("]}\n", out);
    fflush(out);
}
