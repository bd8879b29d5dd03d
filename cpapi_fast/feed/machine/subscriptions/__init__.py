"""The subscriptions of one feed: what to send for them, when they are stale, and which data is missing."""
