"""Transport as PyTorch functions and modules; importing it needs torch (``pip install ot_solvers[torch]``)."""
