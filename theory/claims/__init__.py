"""The theory's statements as records that check themselves, a file a family."""
