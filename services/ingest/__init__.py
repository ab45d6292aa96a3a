"""From a request body to the answer 'kept': decode, check, commit in groups."""

from services.ingest.batch import Accepted, Batch, Feed, Format
from services.ingest.group_commit import Committer

__all__ = ["Accepted", "Batch", "Committer", "Feed", "Format"]
