/* Sums of 20 Gaussians or sines: value and gradient in the 60 shared parameters. */
#include "tile.h"

enum { TERMS = 20, OUT = 61 };

INLINE void finish(double *const *out, double (*y)[LANES], long lo, long points) {
    long count = points - lo < LANES ? points - lo : LANES;
    store_streams(out[0] + lo, y, 1, points, count);
    store_streams(out[1] + lo, y + 1, 60, points, count);
}

void gaussians(long points, const double *const *in, double *const *out, long threads) {
    const double *a = in[0], *b = a + TERMS, *c = b + TERMS;
#pragma omp parallel for num_threads(threads)
    for (long lo = 0; lo < points; lo += LANES) {
        double x[1][LANES] __attribute__((aligned(64)));
        double y[OUT][LANES] __attribute__((aligned(64)));
        load_streams(x, in[1] + lo, 1, points,
                     points - lo < LANES ? points - lo : LANES);
        memset(y[0], 0, sizeof y[0]);
        for (int k = 0; k < TERMS; k++) {
            double r = 1 / c[k];
#pragma omp simd
            for (long i = 0; i < LANES; i++) {
                double t = (x[0][i] - b[k]) * r, e = exp(-0.5 * t * t);
                double term = a[k] * e, slope = term * t * r;
                y[0][i] += term;
                y[1 + k][i] = e;
                y[21 + k][i] = slope;
                y[41 + k][i] = slope * t;
            }
        }
        finish(out, y, lo, points);
    }
}

void sines(long points, const double *const *in, double *const *out, long threads) {
    const double *a = in[0], *b = a + TERMS, *c = b + TERMS;
#pragma omp parallel for num_threads(threads)
    for (long lo = 0; lo < points; lo += LANES) {
        double x[1][LANES] __attribute__((aligned(64)));
        double y[OUT][LANES] __attribute__((aligned(64)));
        load_streams(x, in[1] + lo, 1, points,
                     points - lo < LANES ? points - lo : LANES);
        memset(y[0], 0, sizeof y[0]);
        for (int k = 0; k < TERMS; k++) {
#pragma omp simd
            for (long i = 0; i < LANES; i++) {
                double phase = b[k] * x[0][i] + c[k];
                double s = sin(phase), slope = a[k] * cos(phase);
                y[0][i] += a[k] * s;
                y[1 + k][i] = s;
                y[21 + k][i] = slope * x[0][i];
                y[41 + k][i] = slope;
            }
        }
        finish(out, y, lo, points);
    }
}
