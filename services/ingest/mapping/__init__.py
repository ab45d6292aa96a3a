"""Mapping of the rows of a file or a source to the columns of ingestion."""
