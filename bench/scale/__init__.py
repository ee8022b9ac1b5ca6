"""Simulates thousands of interfaces by measured costs, for docs/scaling.md and infra/README.md."""
