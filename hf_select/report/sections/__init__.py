"""The sections of the page, a file each: (document, sheet) -> markup, "" where there's nothing."""
