"""Export of predictions as CSV, Parquet or Arrow."""
