/* SPDX-License-Identifier: MIT */
#include "runner/measured.h"

#include <dirent.h>
#include <stdlib.h>

#include "suite/suite.h"

/* Adds what is known of one thread, or has it anew. */
static void look_at(struct measured *m, pid_t pid, pid_t tid, bool backend)
{
    unsigned long long ran = 0, waited = 0;
    char path[64];
    unsigned i = 0;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/task/%d/schedstat", (int)pid, (int)tid);
    f = fopen(path, "re");
    while (i < m->thread_count && m->threads[i].tid != tid)
        i++;
    if (f && fscanf(f, "%llu %llu", &ran, &waited) == 2 && i < MEASURED_THREADS) {
        m->threads[i] = (struct measured_thread){tid, backend, ran, waited};
        if (i == m->thread_count)
            m->thread_count++;
    }
    if (f)
        fclose(f);
}

static void look_into(struct measured *m, const struct process *p, bool backend)
{
    char path[64];
    struct dirent *e;
    DIR *d;

    snprintf(path, sizeof(path), "/proc/%d/task", (int)p->pid);
    d = p->pid ? opendir(path) : NULL;
    while (d && (e = readdir(d)))
        if (e->d_name[0] != '.')
            look_at(m, p->pid, (pid_t)strtol(e->d_name, NULL, 10), backend);
    if (d)
        closedir(d);
}

void measured_look(struct guest_run *g)
{
    if (!g->measured)
        return;
    look_into(g->measured, &g->process, false);
    look_into(g->measured, &g->cell->backend, true);
}

/* The part of the time in which it wanted a CPU that a side had one. */
static double own_cpu(const struct measured *m, bool backend)
{
    uint64_t ran = 0, waited = 0;

    for (unsigned i = 0; i < m->thread_count; i++)
        if (m->threads[i].backend == backend) {
            ran += m->threads[i].ran_ns;
            waited += m->threads[i].waited_ns;
        }
    return ran + waited ? (double)ran / (double)(ran + waited) : 1;
}

void measured_begin(struct guest_run *g, struct measured *m)
{
    g->measured = g->measures ? m : NULL;
    *m = (struct measured){.backend_cpu_ns = process_cpu_ns(&g->cell->backend)};
    if (g->measures && g->cell->ops->domain_costs)
        (void)g->cell->ops->domain_costs(g->cell, &m->costs);
}

static void add_count(json_t *counts, const char *name, uint64_t before, uint64_t after,
                      uint64_t units)
{
    if (after >= before)
        json_object_set_new(counts, name, json_real((double)(after - before) / (double)units));
}

/* As the hypervisor counted; the driver's start is in it. */
static void add_costs(struct guest_run *g, const struct testbed_costs *before, uint64_t units,
                      json_t *counts)
{
    struct testbed_costs now;

    if (!g->cell->ops->domain_costs || g->cell->ops->domain_costs(g->cell, &now))
        return;
    add_count(counts, "traps", before->traps, now.traps, units);
    add_count(counts, "events", before->events, now.events, units);
    add_count(counts, "interrupts", before->interrupts, now.interrupts, units);
    add_count(counts, "pages mapped", before->pages_mapped, now.pages_mapped, units);
    add_count(counts, "pages unmapped", before->pages_unmapped, now.pages_unmapped, units);
    add_count(counts, "copies", before->copies, now.copies, units);
    add_count(counts, "bytes copied", before->bytes_copied, now.bytes_copied, units);
}

void measured_note(struct guest_run *g, const struct measured *m, uint64_t units, uint64_t lost,
                   double wall_ns, double frontend_cpu_ns, const struct histogram *latency)
{
    uint64_t backend = process_cpu_ns(&g->cell->backend);
    json_t *counts, *line;
    char *text;

    if (!g->measures || !units)
        return;
    counts = json_object();
    json_object_set_new(counts, "frontend CPU [ns]", json_real(frontend_cpu_ns / (double)units));
    add_count(counts, "backend CPU [ns]", m->backend_cpu_ns, backend, units);
    if (lost)
        add_count(counts, "lost", 0, lost, units);
    add_costs(g, &m->costs, units, counts);
    line = json_pack("{s:f, s:[f, f], s:o}", "ns_per_unit", wall_ns / (double)units, "own_cpu",
                     own_cpu(m, false), own_cpu(m, true), "per_unit", counts);
    if (latency && latency->count)
        json_object_set_new(line, "latency", suite_histogram_json(latency));
    text = json_dumps(line, JSON_COMPACT);
    if (text)
        report_pairs_add(&g->check->notes, MEASURED_NOTE, text);
    free(text);
    json_decref(line);
}

void measured_memory(const struct testbed_cell *c, struct report_check *k)
{
    uint64_t bytes = process_own_bytes(&c->backend);
    char text[24];

    if (!bytes)
        return;
    snprintf(text, sizeof(text), "%llu", (unsigned long long)(bytes / 1024));
    report_pairs_add(&k->notes, MEASURED_MEMORY_NOTE, text);
}
