"""Staging, checks and the push to the Hub."""
