"""The Hub's listings -> a catalog: candidate models and benchmark data sets."""
