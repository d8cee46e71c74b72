"""Small networks whose truth is known, trained on the core (the only torch in theory/)."""
