"""What a run says and shows: lines, plots, the page."""
