"""The rules of the domain, each as a given-when-then test."""
