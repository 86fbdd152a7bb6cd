"""Pure planners: desired and observed in, ordered steps out."""
