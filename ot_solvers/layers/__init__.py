"""Optimal transport inside neural networks."""
