/* Tiles of points: what the kernels written by hand share.

   A kernel works on LANES points at a time, in a scratch that stays in the first-level
   cache, one row per component; rows of NumPy are transposed into it and out of it. */
#include <math.h>
#include <string.h>

#define LANES 32

/* glibc's vector functions, which gcc otherwise uses under -ffast-math only. */
#pragma omp declare simd notinbranch
__attribute__((const)) double sin(double);
#pragma omp declare simd notinbranch
__attribute__((const)) double cos(double);
#pragma omp declare simd notinbranch
__attribute__((const)) double exp(double);
#pragma omp declare simd notinbranch
__attribute__((const)) double log(double);

#define INLINE static inline __attribute__((always_inline))

/* (points, n) rows -> scratch[n][LANES]; lanes past the end repeat the first. */
INLINE void load_rows(double (*tile)[LANES], const double *rows, long n, long count) {
    if (count == LANES)
        for (long i = 0; i < LANES; i++)
            for (long k = 0; k < n; k++) tile[k][i] = rows[i * n + k];
    else
        for (long i = 0; i < LANES; i++)
            for (long k = 0; k < n; k++) tile[k][i] = rows[(i < count ? i : 0) * n + k];
}

INLINE void store_rows(double *rows, double (*tile)[LANES], long n, long count) {
    if (count == LANES)
        for (long i = 0; i < LANES; i++)
            for (long k = 0; k < n; k++) rows[i * n + k] = tile[k][i];
    else
        for (long i = 0; i < count; i++)
            for (long k = 0; k < n; k++) rows[i * n + k] = tile[k][i];
}

/* (n, points) -> scratch[n][LANES], from the point on that ``streams`` points at. */
INLINE void load_streams(double (*tile)[LANES], const double *streams, long n,
                         long stride, long count) {
    for (long k = 0; k < n; k++)
        if (count == LANES)
            memcpy(tile[k], streams + k * stride, sizeof tile[k]);
        else
            for (long i = 0; i < LANES; i++)
                tile[k][i] = streams[k * stride + (i < count ? i : 0)];
}

INLINE void store_streams(double *streams, double (*tile)[LANES], long n, long stride,
                          long count) {
    for (long k = 0; k < n; k++)
        memcpy(streams + k * stride, tile[k], count * sizeof(double));
}
