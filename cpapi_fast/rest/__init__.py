"""REST requests to the gateway: client, transport, session, pacing, TLS."""
