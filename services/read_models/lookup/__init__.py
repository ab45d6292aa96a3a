"""Lookup of predictions by id, session or filter, across inbox and lake."""
