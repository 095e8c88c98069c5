"""Benchmarks of CARMA beside its peers: programs that print figures, never tests that fail on time."""
