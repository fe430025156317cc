"""One self-contained HTML page: the report of a screen, made from its results folder, and views of molecules."""
