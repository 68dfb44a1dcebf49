"""The same work, side by side: jitad, other differentiators, C by hand, and a copy.

Run ``python -m benchmarks``; ``--list`` shows the rows. A workload module
(``bundle_adjustment``, ``gaussians``, …) says *what* is computed, as one function of
one point; a module in ``participants`` says *how* one tool computes it; ``harness``
checks the outputs and times; ``table`` prints. Start reading in ``work.py``.
``--device cuda`` has rows of its own (``card_rows``, ``card_first_call``), and
participants ``on_card``.
"""
