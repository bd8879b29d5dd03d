"""From no connection to an open brokerage session: REST calls, socket, retries."""
