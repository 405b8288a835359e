"""Stand-ins for the tests of the benchmarks."""
