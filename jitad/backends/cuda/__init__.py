"""NVIDIA's cards: kernels compiled by NVRTC, launched on streams."""
