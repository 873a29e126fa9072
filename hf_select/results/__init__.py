"""The results repository: a folder of parquet files that only grows, and the arrays made of it."""
