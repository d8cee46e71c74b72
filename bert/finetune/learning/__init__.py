"""Heads, tasks and recipe of a fine-tune, and one fine-tune from start to scores."""
