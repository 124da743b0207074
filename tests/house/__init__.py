"""The rules of the house: what may import what, and what no file may hold."""
