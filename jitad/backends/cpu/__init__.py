"""The CPU: kernels compiled by LLVM, run by the caller and by a pool of threads."""
