"""The engine: sTDA-xTB and GFN-xTB excited states of a geometry."""
