"""What an export leaves: the manifest, the page, all or nothing."""
