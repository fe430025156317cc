"""The server: spectra over HTTP, with jobs, limits and metrics; and the client of it.  Needs the extra ``server``."""
