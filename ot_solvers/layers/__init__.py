"""Transport inside networks: derivative rules, and layers for PyTorch (``ot_solvers.layers.torch``)."""
