"""Delivers rows to the API: packs them into batches, spools them, sends them."""
