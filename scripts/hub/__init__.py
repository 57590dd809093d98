"""What is pushed to the Hub, and the checks before it."""
