"""Monitoring flows: which windows are due, running a monitor on one, recording what it found."""
