"""Showing an atlas: one typed description (`scene`), a page, and a small server for it."""
