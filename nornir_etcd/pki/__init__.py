"""CA, leaves and the decision to renew them. Pure: bytes in, bytes out."""
