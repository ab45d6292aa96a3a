"""Take predictions out: as CSV, Parquet or Arrow, however many there are."""
