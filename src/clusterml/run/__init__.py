"""Where and how work runs: processes, threads, memory, caches; nothing of chemistry."""
