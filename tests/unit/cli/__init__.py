"""The command line's parts, one by one."""
