"""Attention over packed blocks, and the diagonal blocks of its map, in one pass that never holds the map.

reference.py     the same in NumPy and float64
kernel.py        the Triton kernel
torch_op.py      the kernel as a torch operator
"""
