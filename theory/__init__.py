"""Deep linear networks and models of repeated modules, solved exactly (torch in toys/ alone)."""
