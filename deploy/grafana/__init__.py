"""Grafana's dashboards, as code: what `deploy/grafana/dashboards` holds is written by `python -m deploy.grafana`.

Needs the extra `dashboards`; nothing else of Handrail imports this package. The queries are in `queries.py`, how a
panel looks is in `panels.py`, and each dashboard is a file of its own. What each panel shows of a real run is held by
`tests/integration/dashboards`.
"""
