"""What a selection leaves behind: `selection.json`, one HTML page, and figures as SVG."""
