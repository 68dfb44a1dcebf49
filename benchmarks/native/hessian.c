/* The Hessian of the Helmholtz energy of hessian.py, derived by hand.

   With s = b'x, S = sum x, q = A x, Q = x'q and g(s) = log(u/v) / (sqrt(8) s),
   u = 1 + (1 + sqrt 2) s, v = 1 + (1 - sqrt 2) s:
   H_ij = [i = j]/x_i + (b_i + b_j)/(1-s) + S b_i b_j/(1-s)^2
          - 2 A_ij g - 2 g' (q_i b_j + q_j b_i) - Q g'' b_i b_j. */
#include "tile.h"

enum { N = 10 };

void helmholtz(long points, const double *const *in, double *const *out, long threads) {
    double b[N], A[N][N], root = sqrt(2.0);
    for (int i = 0; i < N; i++) {
        b[i] = 0.02 * (1 + 0.1 * i);
        for (int j = 0; j < N; j++) A[i][j] = 1.0 / (i + j + 1);
    }
#pragma omp parallel for num_threads(threads)
    for (long lo = 0; lo < points; lo += LANES) {
        double x[N][LANES] __attribute__((aligned(64)));
        double y[N * N][LANES] __attribute__((aligned(64)));
        double q[N][LANES], C0[LANES], C1[LANES], C2[LANES], C3[LANES];
        long count = points - lo < LANES ? points - lo : LANES;
        load_rows(x, in[0] + lo * N, N, count);
#pragma omp simd
        for (long l = 0; l < LANES; l++) {
            double s = 0, S = 0, Q = 0;
            for (int i = 0; i < N; i++) {
                double sum = 0;
                for (int j = 0; j < N; j++) sum += A[i][j] * x[j][l];
                q[i][l] = sum;
                Q += sum * x[i][l];
                s += b[i] * x[i][l];
                S += x[i][l];
            }
            double r = 1 / s, m = 1 / (1 - s), up = 1 + root, vp = 1 - root;
            double ru = up / (1 + up * s), rv = vp / (1 + vp * s);
            double g = log((1 + up * s) / (1 + vp * s)) * r / sqrt(8.0);
            double w = (ru - rv) / sqrt(8.0), wp = (rv * rv - ru * ru) / sqrt(8.0);
            double g1 = (w - g) * r, g2 = (wp - 2 * g1) * r;
            C0[l] = -2 * g;
            C1[l] = m;
            C2[l] = S * m * m - Q * g2;
            C3[l] = -2 * g1;
        }
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++)
#pragma omp simd
                for (long l = 0; l < LANES; l++)
                    y[i * N + j][l] = C0[l] * A[i][j] + C1[l] * (b[i] + b[j]) +
                                      C2[l] * (b[i] * b[j]) +
                                      C3[l] * (q[i][l] * b[j] + q[j][l] * b[i]) +
                                      (i == j ? 1 / x[i][l] : 0);
        store_rows(out[0] + lo * N * N, y, N * N, count);
    }
}
