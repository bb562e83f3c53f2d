"""HTML reports of runs, studies and data quality, and the figures in them."""
