"""The names of other tools, over the parts of this package: for code that was written for them."""
