"""Find what was predicted: by id, by session, by filter, across inbox and lake."""
