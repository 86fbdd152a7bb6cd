"""What preflight wants to know of a host: read by the observing command, where something is to be done there."""
