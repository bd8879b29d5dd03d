"""Collecting market data: a feed, recorded into files."""
