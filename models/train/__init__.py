"""How the small models that ship were made, and what is measured of them."""
