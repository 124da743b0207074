"""Handrail as processes: roles over one store and one broker, each as often as one likes."""
