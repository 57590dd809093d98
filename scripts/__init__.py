"""The commands: arguments, calls, prints."""
