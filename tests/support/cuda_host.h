// What the text of a GPU kernel needs to run on the host: for tests.
// The threads of a block take turns, in order: each runs until it waits for others.
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(threads)
#define __shared__ static

struct Three { unsigned x, y, z; };
static Three threadIdx, blockIdx, blockDim, gridDim;

// What a thread is at, and how often it has been waiting for its block, and its warp.
struct Thread {
  ucontext_t at;
  unsigned block, warp;
};
static Thread *threads;
static ucontext_t turns;

static inline void wait(unsigned Thread::*times, unsigned first, unsigned last) {
  unsigned own = threadIdx.x, now = ++(threads[own].*times);
  for (unsigned t = first; t < last; ++t)
    while (threads[t].*times < now) swapcontext(&threads[own].at, &turns);
}
static inline void __syncthreads() { wait(&Thread::block, 0, blockDim.x); }
static inline void __syncwarp() {
  unsigned first = threadIdx.x / 32 * 32;
  wait(&Thread::warp, first, first + 32);
}

template <class T> static inline void __stcs(T *place, T value) { *place = value; }
template <class T> static inline T __ldcs(const T *place) { return *place; }

template <class T> static inline void atomicAdd(T *place, T term) { *place += term; }
static inline void atomicOr(int *place, int flag) { *place |= flag; }
static inline void atomicMax(int *place, int x) { if (*place < x) *place = x; }
static inline int __clzll(long long x) { return __builtin_clzll(x); }

template <class To, class From> static inline To bits(From x) {
  static_assert(sizeof(To) == sizeof(From), "");
  To y;
  memcpy(&y, &x, sizeof y);
  return y;
}
static inline double __longlong_as_double(long long x) { return bits<double>(x); }
static inline long long __double_as_longlong(double x) { return bits<long long>(x); }
static inline float __int_as_float(int x) { return bits<float>(x); }
static inline int __float_as_int(float x) { return bits<int>(x); }

extern "C" {
double (*host_erfinv)(double);
double (*host_i0)(double);
double (*host_i1)(double);
}
static inline double erfinv(double x) { return host_erfinv(x); }
static inline float erfinvf(float x) { return (float)host_erfinv(x); }
static inline double cyl_bessel_i0(double x) { return host_i0(x); }
static inline float cyl_bessel_i0f(float x) { return (float)host_i0(x); }
static inline double cyl_bessel_i1(double x) { return host_i1(x); }
static inline float cyl_bessel_i1f(float x) { return (float)host_i1(x); }

typedef void (*Body)(const long long *);
static Body body;
static const long long *arguments;
static unsigned running;

static void run_thread() {
  unsigned own = threadIdx.x;
  body(arguments);
  // Nobody waits for a thread that is done.
  threads[own].block = threads[own].warp = -1;
  --running;
}

static void launch(
    Body kernel, const long long *given, unsigned blocks, unsigned count) {
  const size_t stack = 1 << 18;
  body = kernel, arguments = given;
  gridDim.x = blocks, blockDim.x = count;
  threads = (Thread *)calloc(count, sizeof *threads);
  char *stacks = (char *)malloc(count * stack);
  for (unsigned b = 0; b < blocks; ++b) {
    blockIdx.x = b;
    for (unsigned t = 0; t < count; ++t) {
      threads[t].block = threads[t].warp = 0;
      getcontext(&threads[t].at);
      threads[t].at.uc_stack.ss_sp = stacks + t * stack;
      threads[t].at.uc_stack.ss_size = stack;
      threads[t].at.uc_link = &turns;
      makecontext(&threads[t].at, run_thread, 0);
    }
    for (running = count; running;)
      for (unsigned t = 0; t < count; ++t) {
        bool done = threads[t].block == -1u;
        threadIdx.x = t;
        if (!done) swapcontext(&turns, &threads[t].at);
      }
  }
  free(stacks);
  free(threads);
}
