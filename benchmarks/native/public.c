/* lse and llsq: gradients derived by hand, on arrays of one point. */
#include "tile.h"

/* value and softmax; the exponentials are kept from the first sweep */
void lse(long n, const double *const *in, double *const *out, long threads) {
    const double *x = in[0];
    double *y = out[1], top = x[0], sum = 0;
    for (long i = 1; i < n; i++) top = x[i] > top ? x[i] : top;
#pragma omp parallel for simd num_threads(threads) reduction(+ : sum) if (n > 4096)
    for (long i = 0; i < n; i++) {
        double e = exp(x[i] - top);
        y[i] = e;
        sum += e;
    }
    out[0][0] = top + log(sum);
    double scale = 1 / sum;
#pragma omp parallel for simd num_threads(threads) if (n > 4096)
    for (long i = 0; i < n; i++) y[i] *= scale;
}

/* sum_i r_i^2 / 2 and -sum_i r_i t_i^j, by Horner forward and powers back */
void llsq(long n, const double *const *in, double *const *out, long threads) {
    enum { TERMS = 128 };
    const double *x = in[0], *points = in[1];
    double gradient[TERMS] = {0}, value = 0;
#pragma omp parallel for num_threads(threads) if (n > 256) \
    reduction(+ : value, gradient)
    for (long lo = 0; lo < n; lo += LANES) {
        double t[LANES], r[LANES], power[LANES];
        for (long l = 0; l < LANES; l++) {
            long i = lo + l < n ? lo + l : n - 1;
            t[l] = points[i];
            r[l] = x[TERMS - 1];
        }
        for (int j = TERMS - 2; j >= 0; j--)
#pragma omp simd
            for (long l = 0; l < LANES; l++) r[l] = r[l] * t[l] + x[j];
        for (long l = 0; l < LANES; l++) {
            r[l] = lo + l < n ? (t[l] > 0) - (t[l] < 0) - r[l] : 0;
            power[l] = -r[l];
            value += 0.5 * r[l] * r[l];
        }
        for (int j = 0; j < TERMS; j++) {
            double sum = 0;
#pragma omp simd reduction(+ : sum)
            for (long l = 0; l < LANES; l++) {
                sum += power[l];
                power[l] *= t[l];
            }
            gradient[j] += sum;
        }
    }
    out[0][0] = value;
    memcpy(out[1], gradient, sizeof gradient);
}
