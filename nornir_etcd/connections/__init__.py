"""Nornir connection plugins and what speaks through them."""
