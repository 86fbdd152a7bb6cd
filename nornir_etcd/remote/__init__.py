"""What is done on a host over its SSH session: scripts run, files pushed."""
