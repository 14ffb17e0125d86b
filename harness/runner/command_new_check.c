/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runner/runner.h"

static const char head[] =
    "/* SPDX-License-Identifier: MIT */\n"
    "/* What this file proves: one area of the specification, in one sentence. */\n"
    "#define CHECK_FAMILY \"%s\"\n"
    "#include \"conformance/blkdev.h\"\n"
    "#include \"conformance/given.h\"\n"
    "#include \"conformance/ring.h\"\n";

static const char template[] =
    "\n"
    "/*\n"
    " * A check begins with the claim that it proves: quote or paraphrase the statement here.\n"
    " *\n"
    " * .judges  whose fault a failure is: DEVICE, DRIVER, TRANSPORT, HYPERVISOR, TOOLSTACK\n"
    " * .proves  ids of the catalogue, separated by blanks (ringproof explain ID)\n"
    " * .needs   NEED_* of conformance/given.h; unmet: the check is a SKIP, with the reason\n"
    " *\n"
    " * It counts only once a mutant has failed it: add `if (MUTANT(name))` at the place in ref/ "
    "that\n"
    " * keeps the rule, and a row to harness/catalog/mutants.tsv.\n"
    " */\n"
    "CHECK(%s, .judges = DEVICE, .proves = \"REQUIREMENT-ID\", .needs = NEED_BLK,\n"
    "      .title = \"What is true of a device that passes, in one line\")\n"
    "{\n"
    "    /* Ask for what you need; all of it is taken back when the check ends, however it ends. "
    "*/\n"
    "    struct blk *k = given_blk(t, 0, 0);\n"
    "\n"
    "    /* Drive the subject. What the harness cannot do is error_out, never a verdict. */\n"
    "    blk_write_pattern(k, 0, 1, 1);\n"
    "\n"
    "    /* Judge: MUST makes it a FAIL, SHOULD a WARN. The text says what was seen. */\n"
    "    expect_pattern(k, 0, 1, 1, \"the sector that was written\");\n"
    "    expect(t, MUST, k->capacity > 0, \"the capacity is %%llu sectors\",\n"
    "           (unsigned long long)k->capacity);\n"
    "}\n";

static bool word(const char *text)
{
    if (!islower((unsigned char)text[0]) || strlen(text) > 60)
        return false;
    for (const char *c = text; *c; c++)
        if (!islower((unsigned char)*c) && !isdigit((unsigned char)*c) && *c != '_')
            return false;
    return true;
}

/* Does the file define a check of this name? */
static bool defines(const char *path, const char *name)
{
    char *line = NULL, want[96];
    size_t size = 0;
    bool found = false;
    FILE *f = fopen(path, "re");

    snprintf(want, sizeof(want), "CHECK(%s,", name);
    while (f && !found && getline(&line, &size, f) > 0)
        found = !strncmp(line, want, strlen(want));
    free(line);
    if (f)
        fclose(f);
    return found;
}

int command_new_check(int argc, char **argv)
{
    char path[160];

    if (argc != 2 || !word(argv[0]) || !word(argv[1])) {
        fputs(
            "usage: ringproof new-check FAMILY NAME\n"
            "Adds a commented template to harness/conformance/FAMILY.c; both are lower-case words "
            "with '_'.\n",
            argc == 1 && !strcmp(argv[0], "--help") ? stdout : stderr);
        return argc == 1 && !strcmp(argv[0], "--help") ? 0 : REPORT_BAD_USAGE;
    }
    if (access("harness/conformance", W_OK)) {
        fprintf(stderr, "ringproof new-check: harness/conformance: %s; run it in the source tree\n",
                strerror(errno));
        return REPORT_BAD_USAGE;
    }
    snprintf(path, sizeof(path), "harness/conformance/%s.c", argv[0]);
    if (defines(path, argv[1])) {
        fprintf(stderr, "ringproof new-check: %s has a check %s already\n", path, argv[1]);
        return REPORT_BAD_USAGE;
    }
    bool fresh = access(path, F_OK) != 0;
    FILE *f = fopen(path, "ae");
    if (f && fresh)
        fprintf(f, head, argv[0]);
    if (f)
        fprintf(f, template, argv[1]);
    if (!f || fclose(f)) {
        fprintf(stderr, "ringproof new-check: %s: %s\n", path, strerror(errno));
        return REPORT_HARNESS_ERROR;
    }
    printf("%s: %s.%s; next: ringproof list --filter '%s.*', then a scenario that selects it\n",
           path, argv[0], argv[1], argv[0]);
    return 0;
}
