/* SPDX-License-Identifier: Apache-2.0 */
/* What the measurements of this folder are told by. */
#ifndef BENCH_MEDIAN_H
#define BENCH_MEDIAN_H

#include <stdlib.h>

static inline int median_compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Of n values, n > 0; they are sorted by it. */
static inline double median_of(double *v, size_t n)
{
	qsort(v, n, sizeof(*v), median_compare);
	return v[n / 2];
}

#endif
