"""Ingestion: request bodies are decoded, validated and committed in groups."""

from services.ingest.batch import Accepted, Batch, Feed, Format
from services.ingest.group_commit import Committer

__all__ = ["Accepted", "Batch", "Committer", "Feed", "Format"]
