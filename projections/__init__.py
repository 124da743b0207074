"""What reads the log: views, metrics, timelines, reports; disposable, rebuilt from the log at any time."""
