// What the text of a GPU kernel needs to run on the host: for tests.
// A block's threads run one after the other, or at once where they wait for each other.
#include <math.h>
#include <pthread.h>
#include <string.h>

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(threads)
#define __shared__ static

struct Three { unsigned x, y, z; };
static thread_local Three threadIdx, blockIdx;
static Three blockDim, gridDim;
static pthread_barrier_t barrier;

static inline void __syncthreads() { pthread_barrier_wait(&barrier); }

template <class T> static inline void __stcs(T *place, T value) { *place = value; }

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
}
static inline double erfinv(double x) { return host_erfinv(x); }
static inline float erfinvf(float x) { return (float)host_erfinv(x); }

typedef void (*Body)(const long long *);
struct Thread {
  Body body;
  const long long *arguments;
  unsigned block, own;
};

static void *run_thread(void *given) {
  const Thread &thread = *(const Thread *)given;
  blockIdx.x = thread.block;
  threadIdx.x = thread.own;
  thread.body(thread.arguments);
  return 0;
}

static void launch(
    Body body, const long long *arguments, unsigned blocks, unsigned threads,
    bool waiting) {
  gridDim.x = blocks;
  blockDim.x = threads;
  pthread_barrier_init(&barrier, 0, threads);
  Thread *all = new Thread[threads];
  pthread_t *running = new pthread_t[threads];
  for (unsigned b = 0; b < blocks; ++b) {
    for (unsigned t = 0; t < threads; ++t) {
      all[t] = {body, arguments, b, t};
      if (waiting) pthread_create(&running[t], 0, run_thread, &all[t]);
      else run_thread(&all[t]);
    }
    for (unsigned t = 0; waiting && t < threads; ++t) pthread_join(running[t], 0);
  }
  delete[] running;
  delete[] all;
  pthread_barrier_destroy(&barrier);
}
