"""One WebSocket connection: handshake, listener, receive queue, client, closing."""
