"""What changes a stack in mid-run beside its sharing: growing it in depth and in width."""
