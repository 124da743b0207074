"""The way out of a shared store: relay, announcements, what is issued again; on real stores and a scripted broker."""
