"""Clusters of models that behave alike on the benchmarks."""
