"""One module per tool: ``participants(work, setting)`` lists its ways to do a Work.

``with_jax`` and the like import their tool at the top; where that fails the tool is
"not installed". Inputs are handed over in the tool's own arrays before timing, and
results stay in them: this spares the others conversions that a NumPy user would pay.
"""
