"""Dashboards: what each panel shows of a real run."""
