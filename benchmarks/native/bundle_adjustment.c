/* Bundle adjustment: residual and Jacobian of one observation, derived by hand.

   P = M(R)(X - C), and dP/dR = -[P]x Jl(R) with the left Jacobian of rotations
   Jl = (s/t) I + (1 - s/t) v v' + ((1 - c)/t) [v]x, t = |R|, v = R/t. */
#include "tile.h"

enum { CAMERA = 11, POINT = 3, WEIGHT = 1, OBSERVED = 2, IN = 17, OUT = 32 };

static void tile(double (*restrict in)[LANES], double (*restrict out)[LANES]) {
#pragma omp simd
    for (long i = 0; i < LANES; i++) {
        double R0 = in[0][i], R1 = in[1][i], R2 = in[2][i];
        double Y0 = in[11][i] - in[3][i], Y1 = in[12][i] - in[4][i];
        double Y2 = in[13][i] - in[5][i];
        double f = in[6][i], k0 = in[9][i], k1 = in[10][i], w = in[14][i];
        double t2 = R0 * R0 + R1 * R1 + R2 * R2;
        double turns = t2 > 0, rests = 1 - turns; /* factors: gcc makes branches of ?: */
        double t = sqrt(t2 + rests), r = 1 / t;
        double c = turns * cos(t) + rests, s = turns * sin(t);
        double v0 = R0 * r, v1 = R1 * r, v2 = R2 * r, h = 1 - c;
        double M00 = c + h * v0 * v0, M01 = h * v0 * v1 - s * v2;
        double M02 = h * v0 * v2 + s * v1, M10 = h * v1 * v0 + s * v2;
        double M11 = c + h * v1 * v1, M12 = h * v1 * v2 - s * v0;
        double M20 = h * v2 * v0 - s * v1, M21 = h * v2 * v1 + s * v0;
        double M22 = c + h * v2 * v2;
        double P0 = M00 * Y0 + M01 * Y1 + M02 * Y2;
        double P1 = M10 * Y0 + M11 * Y1 + M12 * Y2;
        double P2 = M20 * Y0 + M21 * Y1 + M22 * Y2;
        double z = 1 / P2, p0 = P0 * z, p1 = P1 * z;
        double q = p0 * p0 + p1 * p1, L = 1 + k0 * q + k1 * q * q;
        double d0 = f * L * p0 + in[7][i] - in[15][i];
        double d1 = f * L * p1 + in[8][i] - in[16][i];
        out[0][i] = w * d0;
        out[1][i] = w * d1;
        double a = s * r + rests, b = h * r, e = 1 - a;
        double J00 = a + e * v0 * v0, J01 = e * v0 * v1 - b * v2;
        double J02 = e * v0 * v2 + b * v1, J10 = e * v1 * v0 + b * v2;
        double J11 = a + e * v1 * v1, J12 = e * v1 * v2 - b * v0;
        double J20 = e * v2 * v0 - b * v1, J21 = e * v2 * v1 + b * v0;
        double J22 = a + e * v2 * v2;
        double g = 2 * (k0 + 2 * k1 * q), wf = w * f;
        double D00 = wf * (L + g * p0 * p0), D01 = wf * g * p0 * p1;
        double D11 = wf * (L + g * p1 * p1);
        for (int row = 0; row < 2; row++) {
            double Dx = row ? D01 : D00, Dy = row ? D11 : D01, p = row ? p1 : p0;
            double G0 = Dx * z, G1 = Dy * z, G2 = -(Dx * p0 + Dy * p1) * z;
            double H0 = P1 * G2 - P2 * G1, H1 = P2 * G0 - P0 * G2;
            double H2 = P0 * G1 - P1 * G0; /* -G [P]x = (P x G)' */
            double X0 = G0 * M00 + G1 * M10 + G2 * M20;
            double X1 = G0 * M01 + G1 * M11 + G2 * M21;
            double X2 = G0 * M02 + G1 * M12 + G2 * M22;
            double(*camera)[LANES] = out + 2 + 11 * row;
            camera[0][i] = H0 * J00 + H1 * J10 + H2 * J20;
            camera[1][i] = H0 * J01 + H1 * J11 + H2 * J21;
            camera[2][i] = H0 * J02 + H1 * J12 + H2 * J22;
            camera[3][i] = -X0;
            camera[4][i] = -X1;
            camera[5][i] = -X2;
            camera[6][i] = w * L * p;
            camera[7][i] = row ? 0 : w;
            camera[8][i] = row ? w : 0;
            camera[9][i] = wf * p * q;
            camera[10][i] = wf * p * q * q;
            out[24 + 3 * row][i] = X0;
            out[25 + 3 * row][i] = X1;
            out[26 + 3 * row][i] = X2;
            out[30 + row][i] = row ? d1 : d0;
        }
    }
}

void ba_rows(long points, const double *const *in, double *const *out, long threads) {
#pragma omp parallel for num_threads(threads) if (points > LANES)
    for (long lo = 0; lo < points; lo += LANES) {
        double x[IN][LANES] __attribute__((aligned(64)));
        double y[OUT][LANES] __attribute__((aligned(64)));
        long count = points - lo < LANES ? points - lo : LANES;
        load_rows(x, in[0] + lo * 11, 11, count);
        load_rows(x + 11, in[1] + lo * 3, 3, count);
        load_rows(x + 14, in[2] + lo, 1, count);
        load_rows(x + 15, in[3] + lo * 2, 2, count);
        tile(x, y);
        store_rows(out[0] + lo * 2, y, 2, count);
        store_rows(out[1] + lo * 22, y + 2, 22, count);
        store_rows(out[2] + lo * 6, y + 24, 6, count);
        store_rows(out[3] + lo * 2, y + 30, 2, count);
    }
}

void ba_streams(long points, const double *const *in, double *const *out,
                long threads) {
#pragma omp parallel for num_threads(threads) if (points > LANES)
    for (long lo = 0; lo < points; lo += LANES) {
        double x[IN][LANES] __attribute__((aligned(64)));
        double y[OUT][LANES] __attribute__((aligned(64)));
        long count = points - lo < LANES ? points - lo : LANES;
        load_streams(x, in[0] + lo, 11, points, count);
        load_streams(x + 11, in[1] + lo, 3, points, count);
        load_streams(x + 14, in[2] + lo, 1, points, count);
        load_streams(x + 15, in[3] + lo, 2, points, count);
        tile(x, y);
        store_streams(out[0] + lo, y, 2, points, count);
        store_streams(out[1] + lo, y + 2, 22, points, count);
        store_streams(out[2] + lo, y + 24, 6, points, count);
        store_streams(out[3] + lo, y + 30, 2, points, count);
    }
}

