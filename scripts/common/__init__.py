"""What the commands share and what needs both `modeling` and `processing`."""
