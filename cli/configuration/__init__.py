"""Configuration as code: `seqwatch apply`, `diff`, `export -f` and `schema`."""
