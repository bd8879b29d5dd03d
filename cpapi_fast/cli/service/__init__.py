"""What a command needs as a service: its log, notifications of systemd, and reloading of its instruments."""
