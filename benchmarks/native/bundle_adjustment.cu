// Bundle adjustment: residual and Jacobian of an observation by a thread, as in
// bundle_adjustment.c, which says how they are derived.

// An array of N numbers a point: in rows (points, N), or as streams (N, points).
template <bool rows, int N> struct Array {
  double *first;
  long long i, points;
  __device__ double *at(int k) const {
    return first + (rows ? N * i + k : points * k + i);
  }
};

template <bool rows, int N> struct In : Array<rows, N> {
  __device__ double operator[](int k) const { return *this->at(k); }
};

template <bool rows, int N> struct Out : Array<rows, N> {
  __device__ void put(int k, double value) const { __stcs(this->at(k), value); }
};

template <bool rows>
static __device__ __forceinline__ void observe(
    In<rows, 11> camera, In<rows, 3> point, In<rows, 1> weight, In<rows, 2> observed,
    Out<rows, 2> residual, Out<rows, 22> by_camera, Out<rows, 6> by_point,
    Out<rows, 2> by_weight) {
  double R0 = camera[0], R1 = camera[1], R2 = camera[2];
  double Y0 = point[0] - camera[3], Y1 = point[1] - camera[4];
  double Y2 = point[2] - camera[5];
  double f = camera[6], k0 = camera[9], k1 = camera[10], w = weight[0];
  double t2 = R0 * R0 + R1 * R1 + R2 * R2;
  bool turns = t2 > 0;
  double t = turns ? sqrt(t2) : 1, r = 1 / t;
  double c = turns ? cos(t) : 1, s = turns ? sin(t) : 0;
  double v0 = R0 * r, v1 = R1 * r, v2 = R2 * r, h = 1 - c;
  double s_rests = turns ? s : 1;
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
  double d0 = f * L * p0 + camera[7] - observed[0];
  double d1 = f * L * p1 + camera[8] - observed[1];
  residual.put(0, w * d0);
  residual.put(1, w * d1);
  by_weight.put(0, d0);
  by_weight.put(1, d1);
  double a = s_rests * r, b = h * r, e = 1 - a;
  double J00 = a + e * v0 * v0, J01 = e * v0 * v1 - b * v2;
  double J02 = e * v0 * v2 + b * v1, J10 = e * v1 * v0 + b * v2;
  double J11 = a + e * v1 * v1, J12 = e * v1 * v2 - b * v0;
  double J20 = e * v2 * v0 - b * v1, J21 = e * v2 * v1 + b * v0;
  double J22 = a + e * v2 * v2;
  double g = 2 * (k0 + 2 * k1 * q), wf = w * f;
  double D00 = wf * (L + g * p0 * p0), D01 = wf * g * p0 * p1;
  double D11 = wf * (L + g * p1 * p1);
#pragma unroll
  for (int row = 0; row < 2; row++) {
    double Dx = row ? D01 : D00, Dy = row ? D11 : D01, p = row ? p1 : p0;
    double G0 = Dx * z, G1 = Dy * z, G2 = -(Dx * p0 + Dy * p1) * z;
    double H0 = P1 * G2 - P2 * G1, H1 = P2 * G0 - P0 * G2;
    double H2 = P0 * G1 - P1 * G0;
    double X0 = G0 * M00 + G1 * M10 + G2 * M20;
    double X1 = G0 * M01 + G1 * M11 + G2 * M21;
    double X2 = G0 * M02 + G1 * M12 + G2 * M22;
    by_camera.put(11 * row, H0 * J00 + H1 * J10 + H2 * J20);
    by_camera.put(11 * row + 1, H0 * J01 + H1 * J11 + H2 * J21);
    by_camera.put(11 * row + 2, H0 * J02 + H1 * J12 + H2 * J22);
    by_camera.put(11 * row + 3, -X0);
    by_camera.put(11 * row + 4, -X1);
    by_camera.put(11 * row + 5, -X2);
    by_camera.put(11 * row + 6, w * L * p);
    by_camera.put(11 * row + 7, row ? 0 : w);
    by_camera.put(11 * row + 8, row ? w : 0);
    by_camera.put(11 * row + 9, wf * p * q);
    by_camera.put(11 * row + 10, wf * p * q * q);
    by_point.put(3 * row, X0);
    by_point.put(3 * row + 1, X1);
    by_point.put(3 * row + 2, X2);
  }
}

template <bool rows>
static __device__ __forceinline__ void thread(
    long long n, const double *camera, const double *point, const double *weight,
    const double *observed, double *residual, double *by_camera, double *by_point,
    double *by_weight) {
  long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
  if (i >= n) return;
  observe<rows>(
      {{(double *)camera, i, n}}, {{(double *)point, i, n}}, {{(double *)weight, i, n}},
      {{(double *)observed, i, n}}, {{residual, i, n}}, {{by_camera, i, n}},
      {{by_point, i, n}}, {{by_weight, i, n}});
}

extern "C" __global__ void ba_rows(
    long long points, const double *__restrict__ camera,
    const double *__restrict__ point, const double *__restrict__ weight,
    const double *__restrict__ observed, double *__restrict__ residual,
    double *__restrict__ by_camera, double *__restrict__ by_point,
    double *__restrict__ by_weight) {
  thread<true>(points, camera, point, weight, observed, residual, by_camera, by_point,
               by_weight);
}

extern "C" __global__ void ba_streams(
    long long points, const double *__restrict__ camera,
    const double *__restrict__ point, const double *__restrict__ weight,
    const double *__restrict__ observed, double *__restrict__ residual,
    double *__restrict__ by_camera, double *__restrict__ by_point,
    double *__restrict__ by_weight) {
  thread<false>(points, camera, point, weight, observed, residual, by_camera, by_point,
                by_weight);
}
