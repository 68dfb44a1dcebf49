"""A kernel printed as LLVM text, for vectors of a CPU target."""
