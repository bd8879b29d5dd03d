"""The subscriptions of one feed: requests, staleness and gaps."""
