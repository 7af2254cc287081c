"""How many processes and cores models take for a load, from measurements of each on this machine."""
