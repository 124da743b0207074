"""Every cause of being stuck, brought about on the real stack; and a healthy run, in which there is none."""
