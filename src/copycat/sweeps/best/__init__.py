"""Find the best of a portfolio of experiments for a data set in a given time, by nested cross-validation."""
