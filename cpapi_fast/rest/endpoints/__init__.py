"""Requests of single endpoints and their responses: market data, contracts, orders."""
