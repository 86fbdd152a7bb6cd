"""Where certificates are kept and signed on the controller."""
