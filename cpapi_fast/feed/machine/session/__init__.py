"""The session, the socket and the brokerage session of one feed."""
