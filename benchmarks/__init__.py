"""Benchmarks of `ot_solvers` against its peers, each peer in its own process, all under one judge."""
