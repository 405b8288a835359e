"""CPU backend: serial, ``nogil``, cached Numba kernels over blocks of rows, and one small scheduler."""
