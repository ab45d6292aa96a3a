"""`seqwatch alert` and `seqwatch silence`."""
