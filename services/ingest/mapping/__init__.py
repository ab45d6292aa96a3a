"""Rows of a file or a source, brought into the columns that ingestion takes."""
