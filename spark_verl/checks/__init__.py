"""What can be known before Ray starts: rules over the config, and a memory and token budget. Looks, never changes."""
