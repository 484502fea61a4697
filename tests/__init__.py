"""The checker of types and array shapes that runs in the tests: beartype, an int being good where a float is asked for."""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
