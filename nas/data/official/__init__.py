"""The official files of benchmarks, made into plain tables."""
