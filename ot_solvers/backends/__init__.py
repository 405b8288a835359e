"""Where reductions run: the contract, the reference, and one fast implementation per machine."""
