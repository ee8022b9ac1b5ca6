"""Damaged and odd documents, and an oracle that says what must become of them."""
