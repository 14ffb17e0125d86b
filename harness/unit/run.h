/* SPDX-License-Identifier: MIT */
/*
 * The end of a unit test's main().
 */
#ifndef UNIT_RUN_H
#define UNIT_RUN_H

#include <check.h>

/**
 * Run a suite, each test in a process of its own, and free it.
 *
 * Returns the exit status of the program: EXIT_SUCCESS when every test has passed, or EXIT_FAILURE.
 */
int unit_run(Suite *suite);

#endif
